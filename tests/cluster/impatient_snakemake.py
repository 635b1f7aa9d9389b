"""Snakemake that polls its Slurm jobs every three seconds; its executor's interval grows by ten seconds each time."""

import shutil
import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

SECONDS = 3

Executor.next_seconds_between_status_checks = property(lambda self: SECONDS, lambda self, seconds: None)
sys.executable = shutil.which("python")  # for the jobs' own Snakemake: the PATH's Python, forked or not

if __name__ == "__main__":
    main()
