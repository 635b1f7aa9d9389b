"""The runs that the public site shows and a release contains."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import InputError
from pipeline.config.root import read_config
from pipeline.stages.common import Jobs
from pipeline.stages.page import page


@dataclass(frozen=True)
class Run:
    """A run, with the name of its page and of its model."""

    config: str
    title: str
    about: str
    model: str
    licence: str | None = None  # of the weights; None: the images' licences leave it to the publisher

    @property
    def command(self) -> str:
        return f"snakemake --cores 2 --configfile {self.config}"


RUNS = (
    Run("config/demo.yaml", "Photographs of clothes", "The demo.", "bright-fashion-mnist", "apache-2.0"),
    Run("config/demo-colour.yaml", "Drawings", "The same comparison in colour.", "bright-openclipart", "apache-2.0"),
    Run("config/transfer.yaml", "Photographs", "The same settings on tiles of photographs.", "bright-photographs"),
)


def finished() -> Iterator[tuple[Run, Jobs]]:
    """The runs whose page is up to date; one printed line for each other run. InputError without the demo."""
    for run in RUNS:
        jobs = Jobs(read_config(Path(run.config)))
        if jobs(page).complete:
            yield run, jobs
        elif run == RUNS[0]:
            raise InputError(f"{run.config}: not finished here; run `{run.command}` first, or dvc pull")
        else:
            print(f"without {run.config}: not finished here; `{run.command}` computes it")
