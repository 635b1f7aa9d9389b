"""Studies: the same search for training settings for several autoencoders, on images held out from their training."""

from itertools import product
from typing import Any

from pydantic import Field

from pipeline.settings.fields import Section
from pipeline.stages.autoencoders import reconstruction
from pipeline.stages.common import Inputs, Job, Jobs, Stage


class Trial(Section):
    """An entry with some keys of its training changed, and the trial's number among those of the entry."""

    entry: str = Field(description="The name under `autoencoders`.")
    number: int
    changes: dict[str, Any] = Field(description="Keys of its `training`.")


class StudyJob(Section):
    """The table of one study, from the per-image metrics `ENTRY.NUMBER#SEED` of its trials."""

    name: str = Field(description="The study's name in the config.")
    table: str = Field(description="The name of the table of its trials.")
    trials: list[Trial] = Field(min_length=1)
    images: int = Field(description="Training images of each trial.")
    tuning: int = Field(description="Images on which each trial is measured.")
    l2_weight: float = Field(description="Weight of L2 in the loss that all trials minimize and are compared by.")
    perceptual_weight: float = Field(0.0, description="Weight of LPIPS in that loss.")
    perceptual: str = Field("none", description="The column with that LPIPS.")


FORMS = {"csv": "table.csv", "markdown": "table.md", "latex": "table.tex", "parts": "table.json"}  # of any table
MAKE_STUDY = Stage("make_study", "studies", StudyJob, FORMS, local=True)

STUDY_CAPTION = (
    "Every trial of the search, the best of each autoencoder first. The loss on the tuning images decides, and no"
    " validation image was seen."
)


def studies(jobs: Jobs) -> dict[str, Job]:
    """The job of each study, by the name of its table, which is also a target."""
    return {f"study_{name}": jobs(study, name) for name in jobs.config.studies}


def study(jobs: Jobs, name: str) -> Job:
    """The job that compares the trials of a study, which are ordinary entries of an expanded config."""
    config, wanted = jobs.config, jobs.config.studies[name]
    data = config.autoencoders[wanted.autoencoders[0]].dataset
    split = config.datasets[data].split.model_copy(update={"tuning": wanted.tuning})
    tuned = f"{data}.tuning{wanted.tuning}"  # its validation images are the tuning images
    trials = [
        Trial(entry=entry, number=number, changes=changes)
        for entry in wanted.autoencoders
        for number, changes in enumerate(wanted.grid.combinations())
    ]
    entries, names = {}, []
    for trial, seed in product(trials, wanted.seeds):
        entry = config.autoencoders[trial.entry]
        training = entry.training.model_copy(update=trial.changes | {"images": wanted.images})
        changes = {"dataset": tuned, "training": training, "seed": entry.seed + seed}
        suffix = f".seed{seed}" if seed else ""
        entries[f"{name}.{trial.entry}.{trial.number}{suffix}"] = entry.model_copy(update=changes)
        names.append(f"{trial.entry}.{trial.number}#{seed}")
    datasets = {tuned: config.datasets[data].model_copy(update={"split": split})}
    expanded = jobs.of(config.model_copy(update={"datasets": datasets, "autoencoders": entries}))
    losses = config.autoencoders[wanted.autoencoders[0]].losses
    settings = {
        "name": name,
        "table": f"study_{name}",
        "trials": trials,
        "images": wanted.images,
        "tuning": wanted.tuning,
        "l2_weight": losses.l2_weight,
        "perceptual_weight": losses.perceptual_weight,
        "perceptual": losses.perceptual.network,
    }
    inputs: Inputs = {"trials": [expanded(reconstruction, entry)["per_image.csv"] for entry in entries]}
    return jobs.job(MAKE_STUDY, f"studies.{name}", settings, inputs=inputs, names=tuple(names))
