"""The runs that the public site shows and a release contains: runs.yaml."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from bright_pipeline.base.errors import InputError
from bright_pipeline.config.root import read_config
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.page import page

RUNS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
for run in RUNS:
    run["command"] = f"snakemake --cores 2 --configfile {run['config']}"


def finished() -> Iterator[tuple[dict[str, str], Jobs]]:
    """The runs whose page is up to date; one printed line for each other run. InputError without the first."""
    for run in RUNS:
        jobs = Jobs(read_config(Path(run["config"])))
        if jobs(page).complete:
            yield run, jobs
        elif run is RUNS[0]:
            raise InputError(f"{run['config']}: not finished here; run `{run['command']}` first, or dvc pull")
        else:
            print(f"without {run['config']}: not finished here; `{run['command']}` computes it")
