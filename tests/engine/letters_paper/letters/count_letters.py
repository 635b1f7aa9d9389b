"""Stage: count the letters of a text."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from bright_pipeline.engine.command import stage
from bright_pipeline.engine.atomic import write_json

from letters.stages import Counting


@stage
def count_letters(
    job: Counting,
    text: Annotated[Path, typer.Option(help="The text.")],
    counts: Annotated[Path, typer.Option(help="Where the counts go (json).")],
) -> None:
    content = text.read_text()
    write_json(counts, Counter(content.lower() if job.ignore_case else content))
