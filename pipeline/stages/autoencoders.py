"""Autoencoders: trained or imported, reconstructing, counted, their codes dumped, explored and measured (section 3)."""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from pipeline.base.paths import CONFIG, snapshot_path
from pipeline.config.root import Config, load_config
from pipeline.families import AnyAutoencoder, AnyGenerator, autoencoder_family, family_module, find_family
from pipeline.models.metric_networks.manifest import PERCEPTUAL_NETWORKS, network_digest
from pipeline.settings.autoencoder import AutoencoderSettings
from pipeline.settings.diffusion import Diffusion
from pipeline.settings.fields import CodeSizeField, Section
from pipeline.settings.weights import OwnWeights, training_steps
from pipeline.stages.common import Inputs, Job, Jobs, Stage, network, trained
from pipeline.stages.datasets import dataset, image_size

PAPER = CONFIG / "paper.yaml"
SORTS = ("autoencoder", "diffusion", "generator")
MONITORED_WITH = ("validation", "lpips_alex")
"""Inputs of a training for `execution.validate_every`."""


class AutoencoderJob(Section):
    """Train an autoencoder."""

    autoencoder: AnyAutoencoder
    seed: int = 0


class ImportJob(Section):
    """Import the checkpoint of the one entry of the config that is given; its settings must be the checkpoint's."""

    autoencoder: AnyAutoencoder | None = None
    diffusion: Diffusion | None = None
    generator: AnyGenerator | None = None
    code_size: CodeSizeField | None = Field(None, description="Of the codes that a diffusion model makes.")
    resolution: int | None = Field(None, description="Of the images of an autoencoder or a generator.")
    channels: Literal[1, 3] = Field(3, description="Of those images.")

    @model_validator(mode="after")
    def _one_entry_with_weights(self) -> "ImportJob":
        given = [name for name in SORTS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"one of {', '.join(SORTS)} is needed; given: {', '.join(given) or 'none'}")
        (sort,) = given
        if getattr(self, sort).weights is None:
            raise ValueError(f"{sort}.weights: this key is missing")
        needed = "code_size" if sort == "diffusion" else "resolution"
        if getattr(self, needed) is None:
            raise ValueError(f"{needed}: this key is missing")
        return self


class SnapshotJob(Section):
    """Take a snapshot of a training."""

    snapshot: Path = Field(description="The file that the training left.")
    step: int = Field(ge=1, description="After which it did so.")


class Encoding(Section):
    """Encode a split with a trained autoencoder."""

    micro_batch: int = Field(64, ge=1)
    cpu_threads: int = Field(1, ge=1)


class Reconstruction(Encoding):
    """Reconstruct the validation split; the autoencoder's config is for the summary."""

    autoencoder: AnyAutoencoder


class CodeMeasurement(Reconstruction):
    """Measure the codes of an autoencoder (section 3.4)."""

    images: int = Field(256, ge=1, description="Validation images whose codes are perturbed.")
    seed: int = 0


class Exploration(Section):
    """Show what key codes and hash tables hold, on the first validation images."""

    rows: int = Field(6, ge=1, description="Images, and pairs of images to interpolate between.")
    steps: int = Field(9, ge=2, description="Images from one of a pair to the other, both ends included.")
    cpu_threads: int = Field(1, ge=1)


class Architecture(Section):
    """An autoencoder for images of `resolution` with `channels` channels."""

    autoencoder: AnyAutoencoder
    resolution: int
    channels: int
    entry: str | None = Field(None, description="What the config calls it, for a line about what is wrong with it.")


class Complexity(Section):
    """Count autoencoders."""

    models: dict[str, Architecture] = Field(description="By the names that their counts get.")


class Decoding(Section):
    """Decode with several autoencoders in turns."""

    models: dict[str, Architecture]
    batch: int = Field(8, ge=1)
    rounds: int = Field(7, ge=1)
    cpu_threads: int = Field(1, ge=1)


TRAIN_AUTOENCODER = Stage(
    "train_autoencoder",
    folder="autoencoders",
    settings=AutoencoderJob,
    outputs=trained("autoencoder"),
    gpu=True,
    memory_mb=16_000,
)
IMPORTED = {"weights": "{model}.safetensors"}
IMPORT_WEIGHTS = Stage("import_weights", folder="imports", settings=ImportJob, outputs=IMPORTED, memory_mb=16_000)
TAKE_SNAPSHOT = Stage("take_snapshot", folder="snapshots", settings=SnapshotJob, outputs=IMPORTED, local=True)
RECONSTRUCT = Stage(
    "reconstruct",
    folder="reconstructions",
    settings=Reconstruction,
    outputs={
        "reconstructions": "reconstructions.zip",
        "table": "per_image.csv",
        "summary": "summary.json",
        "picture": "pairs.png",
    },
    gpu=True,
    memory_mb=8000,
)
COMPLEXITY = Stage(
    "complexity", folder="complexity", settings=Complexity, outputs={"output": "complexity.json"}, local=True
)
DUMP_CODES = Stage(
    "dump_codes",
    folder="codes",
    settings=Encoding,
    outputs={"codes": "codes.safetensors", "hits": "hits.npz", "statistics": "statistics.json"},
    gpu=True,
    memory_mb=16_000,
)
EXPLORE_CODES = Stage(
    "explore_codes",
    folder="explorations",
    settings=Exploration,
    outputs={
        "interpolations": "interpolation.zip",
        "by_resolutions": "resolutions.zip",
        "by_groups": "groups.zip",
        "columns": "columns.json",
    },
    gpu=True,
    memory_mb=8000,
)
MEASURE_CODES = Stage(
    "measure_codes",
    folder="code_measurements",
    settings=CodeMeasurement,
    outputs={"summary": "summary.json"},
    gpu=True,
    memory_mb=8000,
)
MEASURE_DECODING = Stage(
    "measure_decoding",
    folder="decodings",
    settings=Decoding,
    outputs={"output": "decoding.json"},
    gpu=True,
    memory_mb=16_000,
)


def autoencoder(jobs: Jobs, name: str) -> Job:
    """The job that trains this autoencoder, or imports its weights."""
    model = jobs.config.autoencoders[name]
    if model.weights is not None:
        return imported(jobs, "autoencoder", name, image_size(jobs.config, model.dataset))
    if model.snapshot_of is not None:
        return snapshot(jobs, "autoencoder", name, jobs(autoencoder, model.snapshot_of))
    images = jobs(dataset, model.dataset)
    initial, facts = beginning(jobs, autoencoder, model.initial_weights, f"autoencoders.{name}")
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
        {"autoencoder": model, "seed": jobs.seed(model.seed, "autoencoder")},
        inputs=inputs,
        facts=facts,
        families=family_code(model),
        unhashed_inputs=MONITORED_WITH,
    )


def snapshot(jobs: Jobs, sort: str, name: str, training: Job) -> Job:
    """The weights that a training had after so many steps as this entry's would have."""
    entry = getattr(jobs.config, f"{sort}s")[name]
    step = training_steps(entry.training)
    return jobs.job(
        TAKE_SNAPSHOT,
        f"{sort}s.{name}",
        {"snapshot": snapshot_path(training.work, step), "step": step},
        {"step": step},
        inputs={"training": training[f"{sort}.safetensors"]},
        model=sort,
    )


def missing_snapshot(path: Path) -> str:
    """A line about a snapshot that is not there."""
    return (
        f"{path}: no such snapshot: the training was done without execution.keep_every, or its states are gone; train"
        " again (snakemake --forcerun), or leave out snapshot_of, which trains to the same length anew"
    )


def beginning(
    jobs: Jobs, make: Callable[[Jobs, str], Job], given: OwnWeights | None, entry: str
) -> tuple[Inputs, dict[str, Any]]:
    """What a training begins with: weights of another entry, which `make` trains, or a file; the file's facts."""
    sort = make.__name__
    if given is None:
        return {}, {}
    if given.entry is not None:
        return {"initial": jobs(make, given.entry)[f"{sort}.safetensors"]}, {}
    file = given.file_of(sort)
    facts = jobs.fingerprints.checkpoint(file, f"{entry}.initial_weights")
    return {"initial": str(file.path)}, {"initial": facts.get("sha256", facts)}


def imported(jobs: Jobs, sort: str, name: str, size: dict[str, Any]) -> Job:
    """The import of an entry's checkpoint in place of its training; its architecture is all that it depends on."""
    entry = getattr(jobs.config, f"{sort}s")[name]
    facts = jobs.fingerprints.checkpoint(entry.weights, f"{sort}s.{name}.weights")
    checkpoint = {"kind": entry.weights.kind, "checkpoint": facts.get("sha256", facts)}
    return jobs.job(
        IMPORT_WEIGHTS,
        f"{sort}s.{name}",
        {sort: entry} | size,
        {sort: entry.architecture()} | checkpoint | size,
        model=sort,
        families=() if sort == "diffusion" else (family_module(entry.family), *find_family(entry.family).code),
    )


def family_code(model: AutoencoderSettings) -> tuple[str, ...]:
    """Modules of an autoencoder's family, whose code can change what is made with it."""
    return (family_module(model.family), *autoencoder_family(model.family).code)


def on_images(jobs: Jobs, name: str, split: str) -> Inputs:
    """The inputs of a job that reads a split's images and a trained autoencoder."""
    images = jobs(dataset, jobs.config.autoencoders[name].dataset)[f"{split}.zip"]
    return {"images": images, "autoencoder": jobs(autoencoder, name)["autoencoder.safetensors"]}


def encoding(jobs: Jobs, name: str) -> dict[str, Any]:
    """How a trained autoencoder sees images."""
    threads = jobs.config.autoencoders[name].execution.cpu_threads
    return {"micro_batch": jobs.config.evaluation.micro_batch, "cpu_threads": threads}


def reconstruction(jobs: Jobs, name: str) -> Job:
    """The job that reconstructs the validation split with this autoencoder."""
    model, networks = jobs.config.autoencoders[name], ("lpips_alex", "lpips_vgg")
    return jobs.job(
        RECONSTRUCT,
        f"autoencoders.{name}",
        encoding(jobs, name) | {"autoencoder": model},
        encoding(jobs, name),
        inputs={**on_images(jobs, name, "validation"), **{key: network(key) for key in networks}},
        facts={key: network_digest(key) for key in networks},
        families=family_code(model),
    )


def codes(jobs: Jobs, name: str) -> Job:
    """The job that dumps the codes of the training split. How many images are encoded at once is no part of what
    they are, so that a smaller number for a full GPU trains no model on them again."""
    settings = encoding(jobs, name)
    numerical = {"cpu_threads": settings["cpu_threads"]}
    inputs, families = on_images(jobs, name, "train"), family_code(jobs.config.autoencoders[name])
    return jobs.job(DUMP_CODES, f"autoencoders.{name}", settings, numerical, inputs=inputs, families=families)


def exploration(jobs: Jobs, name: str) -> Job:
    """The job that shows what this autoencoder's codes and tables hold."""
    model = jobs.config.autoencoders[name]
    settings, inputs = {"cpu_threads": model.execution.cpu_threads}, on_images(jobs, name, "validation")
    return jobs.job(EXPLORE_CODES, f"autoencoders.{name}", settings, inputs=inputs, families=family_code(model))


def code_measurement(jobs: Jobs, name: str) -> Job:
    """The job that measures this autoencoder's codes."""
    model, dumped = jobs.config.autoencoders[name], jobs(codes, name)
    measured = encoding(jobs, name) | {
        "images": jobs.config.evaluation.noise_images,
        "seed": jobs.seed(0, "code noise"),
    }
    read: Inputs = {
        "codes": dumped["codes.safetensors"],
        "hits": dumped["hits.npz"],
        "lpips_alex": network("lpips_alex"),
    }
    return jobs.job(
        MEASURE_CODES,
        f"autoencoders.{name}",
        measured | {"autoencoder": model},
        measured,
        inputs={**on_images(jobs, name, "validation"), **read},
        facts={"lpips_alex": network_digest("lpips_alex")},
        families=family_code(model),
    )


def complexity(jobs: Jobs, table: str, names: tuple[str, ...], of_paper: tuple[str, ...] = ()) -> Job:
    """The counts of a table's autoencoders, this config's and the paper's own; nothing is trained for them."""
    models, paper = [(jobs.config, name, f"autoencoders.{name}") for name in names], jobs(paper_config)
    if paper is not None:
        models += [(paper, name, f"autoencoders.{name} of {PAPER.name}") for name in of_paper]
    families = {config.autoencoders[name].family for config, name, _ in models}
    counting = (autoencoder_family(family).counts.partition(":")[0] for family in families)
    told, numerical = _several(models)
    return jobs.job(
        COMPLEXITY,
        f"tables.{table}",
        {"models": told},
        {"models": numerical},
        families=tuple(sorted({*map(family_module, families), *counting})),
    )


def paper_config(jobs: Jobs) -> Config | None:
    """The paper's own config; None where it is not at hand."""
    return _read_paper(PAPER.read_text(encoding="utf-8")) if PAPER.exists() else None


@cache
def _read_paper(text: str) -> Config:
    """Once in a process, which may make many plans; the model is only read."""
    return load_config(yaml.safe_load(text), str(PAPER))


def decoding(jobs: Jobs, names: tuple[str, ...]) -> Job:
    """Decoded images per second of these autoencoders, in turns; nothing is trained for it."""
    evaluation, models = jobs.config.evaluation, jobs.config.autoencoders
    settings = evaluation.decoding.model_dump() | {"cpu_threads": evaluation.cpu_threads}
    told, numerical = _several([(jobs.config, name, f"autoencoders.{name}") for name in names])
    return jobs.job(
        MEASURE_DECODING,
        "decoding",
        settings | {"models": told},
        settings | {"models": numerical},
        families=tuple(dict.fromkeys(module for name in names for module in family_code(models[name]))),
    )


def timed_models(jobs: Jobs) -> tuple[str, ...]:
    """The autoencoders that decode in turns."""
    wanted = jobs.config.tables_or_default
    return tuple(dict.fromkeys([*wanted.decoding, *wanted.equal_budget, *jobs.config.figures.rate_quality]))


def _several(models: list[tuple[Config, str, str]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Models as a measurement of several is told them, and what its numbers depend on; of a config, by a name in it."""
    told: dict[str, Any] = {}
    numerical: dict[str, Any] = {}
    for config, name, entry in models:
        model, key = config.autoencoders[name], called(config, name)
        size = image_size(config, model.dataset)
        told.setdefault(key, {"autoencoder": model, "entry": entry, **size})
        numerical.setdefault(key, {"autoencoder": model.architecture(), **size})
    return told, numerical


def called(config: Config, name: str) -> str:
    """What a measurement of several calls a model: by what it is, not by its name in the config."""
    model = config.autoencoders[name]
    architecture = model.architecture() | image_size(config, model.dataset)
    text = json.dumps(architecture, sort_keys=True)
    return f"{model.family}-{model.code_size}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
