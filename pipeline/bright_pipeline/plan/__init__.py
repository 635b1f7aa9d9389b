"""From a config to jobs: which ones the tables need, in which folders, known before anything runs."""
