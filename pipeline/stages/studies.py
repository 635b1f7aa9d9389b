"""Studies: the same search for training settings for several autoencoders, on images kept from their training."""

from typing import Any, NamedTuple

from pydantic import Field

from pipeline.config.root import Config
from pipeline.settings.fields import Section
from pipeline.settings.study import Study
from pipeline.stages.autoencoders import reconstruction
from pipeline.stages.common import Inputs, Job, Jobs, Stage


class Trial(Section):
    """A trial: an entry with some keys of its training changed, and its number among that entry's trials."""

    entry: str = Field(description="The name under `autoencoders`.")
    number: int
    changes: dict[str, Any] = Field(description="Keys of its `training`.")


class StudyJob(Section):
    """The record of one study, from the per-image metrics `ENTRY.NUMBER` (`ENTRY.NUMBER#SEED`) of its trials."""

    name: str = Field(description="The study's name in the config.")
    table: str = Field(description="The name of the table of its trials.")
    trials: list[Trial] = Field(min_length=1)
    images: int = Field(description="Training images of each trial.")
    tuning: int = Field(description="Images that each is measured on.")
    l2_weight: float = Field(description="Of the loss that all are trained for, and compared by.")
    perceptual_weight: float = Field(0.0, description="Of LPIPS in it.")
    perceptual: str = Field("none", description="The column of that LPIPS.")


MAKE_STUDY = Stage(
    "make_study",
    folder="studies",
    settings=StudyJob,
    outputs={"csv": "table.csv", "markdown": "table.md", "latex": "table.tex", "parts": "table.json"},
    local=True,
)

STUDY_CAPTION = (
    "Every trial of the search, the best of each autoencoder first. The loss on the tuning images decides, and no"
    " validation image was seen."
)


def table_name(study: str) -> str:
    """Of the table of a study's trials, as of a target."""
    return f"study_{study}"


def studies(jobs: Jobs) -> dict[str, Job]:
    """The job of each study, by the name of its table."""
    return {table_name(name): jobs(study, name) for name in jobs.config.studies}


class Measured(NamedTuple):
    """A trial with one training seed, and its name among the entries of the config that has all of them."""

    trial: Trial
    seed: int
    place: str

    @property
    def name(self) -> str:
        """As the study's stage is told it."""
        return f"{self.trial.entry}.{self.trial.number}#{self.seed}"


def trials(wanted: Study, name: str) -> list[Measured]:
    """Every trial of a study with every seed."""
    found = [
        Trial(entry=entry, number=number, changes=changes)
        for entry in wanted.autoencoders
        for number, changes in enumerate(wanted.grid.combinations())
    ]
    return [
        Measured(trial, seed, f"{name}.{trial.entry}.{trial.number}{f'.seed{seed}' if seed else ''}")
        for trial in found
        for seed in wanted.seeds
    ]


def with_trials(config: Config, name: str) -> Config:
    """The config with a study's trials as its autoencoders, on a dataset that has tuning images for validation."""
    wanted = config.studies[name]
    data = config.autoencoders[wanted.autoencoders[0]].dataset
    split = config.datasets[data].split.model_copy(update={"tuning": wanted.tuning})
    tuned = f"{data}.tuning{wanted.tuning}"
    entries = {}
    for trial, seed, place in trials(wanted, name):
        entry = config.autoencoders[trial.entry]
        training = entry.training.model_copy(update=trial.changes | {"images": wanted.images})
        changes = {"dataset": tuned, "training": training, "seed": entry.seed + seed}
        entries[place] = entry.model_copy(update=changes)
    datasets = {tuned: config.datasets[data].model_copy(update={"split": split})}
    return config.model_copy(update={"datasets": datasets, "autoencoders": entries})


def study(jobs: Jobs, name: str) -> Job:
    """The job that compares the trials of a study."""
    wanted, of_trials = jobs.config.studies[name], jobs.of(with_trials(jobs.config, name))
    measured = trials(wanted, name)
    losses = jobs.config.autoencoders[wanted.autoencoders[0]].losses
    settings = {
        "name": name,
        "table": table_name(name),
        "trials": [one.trial for one in measured if one.seed == wanted.seeds[0]],
        "images": wanted.images,
        "tuning": wanted.tuning,
        "l2_weight": losses.l2_weight,
        "perceptual_weight": losses.perceptual_weight,
        "perceptual": losses.perceptual.network,
    }
    inputs: Inputs = {"trials": [of_trials(reconstruction, one.place)["per_image.csv"] for one in measured]}
    names = tuple(one.name for one in measured)
    return jobs.job(MAKE_STUDY, f"studies.{name}", settings, inputs=inputs, names=names)
