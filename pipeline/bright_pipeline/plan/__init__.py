"""Checks before the first job of a run, and readable copies of its results in results/RUN."""
