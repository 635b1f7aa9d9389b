from bright_pipeline.base import locks as locks  # first of all, since it says what Windows lacks
