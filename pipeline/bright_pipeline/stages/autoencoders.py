"""Autoencoders: training (section 3.3), import of checkpoints, snapshots of trainings."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from bright_pipeline.base.paths import snapshot_path
from bright_pipeline.data.fingerprint import missing_files
from bright_pipeline.engine.checks import saved_step
from bright_pipeline.engine.jobs import Inputs, Job, Output, Stage, Use
from bright_pipeline.engine.run import Needed
from bright_pipeline.families import AnyAutoencoder, AnyGenerator, family_module, find_family
from bright_pipeline.models.metric_networks.manifest import PERCEPTUAL_NETWORKS, network_digest
from bright_pipeline.settings import quantities as q
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.settings.diffusion import Diffusion
from bright_pipeline.settings.fields import CodeSizeField, Section, operational
from bright_pipeline.settings.generator import GeneratorSettings
from bright_pipeline.settings.weights import OwnWeights, training_steps
from bright_pipeline.stages.common import Jobs, network, trained
from bright_pipeline.stages.datasets import dataset, image_size

MODEL_KINDS = ("autoencoder", "diffusion", "generator")
PLANNED_WEIGHTS = "The fingerprint of the file of initial weights; the stage ends if the file differs."
Make = Callable[[Jobs, str], Job]  # the function that makes the job of an entry; it has the name of the kind of model


class AutoencoderJob(Section):
    autoencoder: AnyAutoencoder
    seed: int = 0
    initial_sha256: str | None = operational(None, PLANNED_WEIGHTS)


class ImportJob(Section):
    """Import the checkpoint of a config entry; the entry's settings must be those of the checkpoint."""

    autoencoder: AnyAutoencoder | None = None
    diffusion: Diffusion | None = None
    generator: AnyGenerator | None = None
    code_size: CodeSizeField | None = Field(None, description="Code size of a diffusion model.")
    resolution: int | None = Field(None, description="Resolution of the images of an autoencoder or a generator.")
    channels: Literal[1, 3] = Field(3, description="Their channels.")
    sha256: str | None = operational(None, "The fingerprint of the checkpoint; the stage ends if it differs.")

    def _check(self) -> None:
        given = [kind for kind in MODEL_KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"one of {', '.join(MODEL_KINDS)} is needed; given: {', '.join(given) or 'none'}")
        (kind,) = given
        if getattr(self, kind).weights is None:
            raise ValueError(f"{kind}.weights: this key is missing")
        needed = "code_size" if kind == "diffusion" else "resolution"
        if getattr(self, needed) is None:
            raise ValueError(f"{needed}: this key is missing")


class SnapshotJob(Section):
    """Take a snapshot of a training."""

    snapshot: Path = Field(description="The file that the training wrote.")
    step: int = Field(ge=1, description="The number of training steps before it.")


def missing_initial_weights(job: Job, needed: Needed) -> Iterator[str]:
    """A line if the file that a training starts from is missing."""
    for path in job.inputs.get("initial", ()):
        if isinstance(path, str) and (line := missing_files(OwnWeights(path=path), f"{job.entry}.initial_weights")):
            yield line


def missing_foreign_weights(job: Job, needed: Needed) -> Iterator[str]:
    """A line if the checkpoint of an import is missing."""
    section, _, name = job.entry.partition(".")
    if line := missing_files(getattr(job.jobs.config, section)[name].weights, f"{job.entry}.weights"):
        yield line


def lost_snapshot(job: Job, needed: Needed) -> Iterator[str]:
    """A line if a snapshot is missing and its training, finished or past that step, will not save it again."""
    path, (training,) = Path(job.settings["snapshot"]), job.upstream
    if not path.exists():
        will_run = training.key in {other.key for other in needed.jobs}
        if not (will_run and (needed.is_rerun(training) or saved_step(training) < job.settings["step"])):
            yield f"{job.entry}: {missing_snapshot(path)}"


def history(jobs: Jobs, row: str) -> list[Output]:
    """The history of a row's training, which records its seconds."""
    job = jobs(autoencoder, row)
    return [job["autoencoder.history.csv"]] if job.is_training else []


def training_use(job: Job, images: int) -> Iterator[Use]:
    """The training of a job's entry."""
    section, _, name = job.entry.partition(".")
    yield Use("train", getattr(job.jobs.config, section)[name])


TRAIN_AUTOENCODER = Stage(
    "train_autoencoder",
    "autoencoders",
    AutoencoderJob,
    trained("autoencoder"),
    gpu=True,
    memory_mb=16_000,
    problems=missing_initial_weights,
    uses=training_use,
    kind=q.TIMED_TRAINING,
    numbers_of_row=history,
    message="Training",
)
IMPORT_WEIGHTS = Stage(
    "import_weights",
    "imports",
    ImportJob,
    {"weights": "{model}.safetensors"},
    memory_mb=16_000,
    launched=False,
    problems=missing_foreign_weights,
    message="Importing the weights of",
)
TAKE_SNAPSHOT = Stage(
    "take_snapshot",
    "snapshots",
    SnapshotJob,
    {"weights": "{model}.safetensors"},
    local=True,
    problems=lost_snapshot,
    copies_states=True,
    message="Taking the snapshot",
)


def autoencoder(jobs: Jobs, name: str) -> Job:
    """The job that trains an autoencoder, imports its weights, or takes them from another training."""
    model = jobs.config.autoencoders[name]
    if (ready := ready_weights(jobs, autoencoder, name, image_size(jobs.config, model.dataset))) is not None:
        return ready
    images = jobs(dataset, model.dataset)
    initial, facts, planned = initial_weights(jobs, autoencoder, name)
    inputs: Inputs = {"images": images["train.zip"], **initial}
    kind = model.losses.perceptual.network
    if kind != "none":
        inputs["perceptual"] = network(PERCEPTUAL_NETWORKS[kind])
        facts["perceptual"] = network_digest(PERCEPTUAL_NETWORKS[kind])
    if model.execution.validate_every:
        inputs |= {"validation": images["validation.zip"], "lpips_alex": network("lpips_alex")}
    return jobs.job(
        TRAIN_AUTOENCODER,
        f"autoencoders.{name}",
        {"autoencoder": model, "seed": jobs.seed(model.seed, "autoencoder"), **planned},
        inputs=inputs,
        facts=facts,
        code=family_code(model),
        unhashed_inputs=("validation", "lpips_alex"),  # for `execution.validate_every`
    )


def ready_weights(jobs: Jobs, make: Make, name: str, size: dict[str, Any]) -> Job | None:
    """The job that imports an entry's checkpoint or takes a snapshot of a training; None if the entry is trained."""
    kind = make.__name__
    entry = getattr(jobs.config, f"{kind}s")[name]
    if entry.weights is not None:  # an import depends on the checkpoint and the entry's architecture alone
        facts = jobs.fingerprints.checkpoint(entry.weights, f"{kind}s.{name}.weights")
        checkpoint = {"kind": entry.weights.kind, "checkpoint": facts.get("sha256", facts)}
        numerical = {kind: entry.architecture()} | checkpoint | size
        code = () if kind == "diffusion" else family_code(entry)
        settings = {kind: entry, "sha256": facts.get("sha256")} | size
        return jobs.job(IMPORT_WEIGHTS, f"{kind}s.{name}", settings, numerical, model=kind, code=code)
    if entry.snapshot_of is not None:
        training, step = jobs(make, entry.snapshot_of), training_steps(entry.training)
        settings = {"snapshot": snapshot_path(training.work, step), "step": step}
        inputs = {"training": training[f"{kind}.safetensors"]}
        return jobs.job(TAKE_SNAPSHOT, f"{kind}s.{name}", settings, {"step": step}, inputs=inputs, model=kind)
    return None


def missing_snapshot(path: Path) -> str:
    problem = "the training was done without execution.keep_every, or its states are gone"
    remedy = "train again (snakemake --forcerun), or leave out snapshot_of, which trains to the same length anew"
    return f"{path}: no such snapshot: {problem}; {remedy}"


def initial_weights(jobs: Jobs, make: Make, name: str) -> tuple[Inputs, dict[str, Any], dict[str, str | None]]:
    """A training's initial weights, of another entry or a file: its input, facts, and settings of the job."""
    kind = make.__name__
    given: OwnWeights | None = getattr(jobs.config, f"{kind}s")[name].initial_weights
    if given is None:
        return {}, {}, {}
    if given.entry is not None:
        return {"initial": jobs(make, given.entry)[f"{kind}.safetensors"]}, {}, {}
    file = given.file_of(kind)
    facts = jobs.fingerprints.checkpoint(file, f"{kind}s.{name}.initial_weights")
    planned = facts.get("sha256")
    return {"initial": str(file.path)}, {"initial": planned or facts}, {"initial_sha256": planned}


def family_code(model: AutoencoderSettings | GeneratorSettings) -> tuple[str, ...]:
    """The modules of a model's family, whose code can change its results: the settings' and the network's."""
    return family_module(model.family), find_family(model.family).model.partition(":")[0]
