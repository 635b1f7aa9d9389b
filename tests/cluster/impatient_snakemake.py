"""Snakemake that looks at its Slurm jobs every three seconds; its executor looks ten seconds later each time."""

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

SECONDS = 3

Executor.next_seconds_between_status_checks = property(lambda self: SECONDS, lambda self, seconds: None)

if __name__ == "__main__":
    main()
