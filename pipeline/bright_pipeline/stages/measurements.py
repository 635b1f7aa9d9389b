"""Measurements of autoencoders: reconstructions, counts, speed; dumps, explorations and measurements of codes."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from math import prod
from typing import Any

from pydantic import Field

from bright_pipeline.base.paths import PACKAGED_CONFIGS
from bright_pipeline.config.root import Config, read_config
from bright_pipeline.engine.jobs import Inputs, Job, Output, Reported, Stage, Use
from bright_pipeline.engine.run import Needed
from bright_pipeline.families import AnyAutoencoder, autoencoder_family, family_module, parse_autoencoder
from bright_pipeline.models.metric_networks.manifest import network_digest
from bright_pipeline.models.traits import traits
from bright_pipeline.settings import quantities as q
from bright_pipeline.settings.diffusion import Sampler
from bright_pipeline.settings.fields import Section, added
from bright_pipeline.stages.autoencoders import autoencoder, family_code
from bright_pipeline.stages.common import FLOAT32, Jobs, is_network_available, network
from bright_pipeline.stages.datasets import dataset, image_size, known_images, png_bytes, split_count

PAPER = PACKAGED_CONFIGS / "paper.yaml"
EXPLORED_IMAGES = 300  # decoded, about: rows, steps, groups and resolutions
MEASURED_IMAGES = 256 * 30  # decoded, about: `evaluation.noise_images` under each noise
STORED_IMAGES = 400 * 60  # decoded, about: by bits and by parts, and in the steps of tuning
Uses = Callable[[Job, int], Iterator[Use]]


class Encoding(Section):
    """Encode a split with a trained autoencoder. The micro-batch changes the last bits of codes."""

    micro_batch: int = added(64, "Images that the network sees at once.", ge=1)
    cpu_threads: int = Field(1, ge=1)


class Reconstruction(Encoding):
    """Reconstruct the validation split; the summary quotes the autoencoder's config."""

    micro_batch: int = Field(64, ge=1)
    autoencoder: AnyAutoencoder = Field(json_schema_extra={"operational": True})
    authors_protocol: bool = added(False, "Measure by the authors' protocol, too (docs/authors-code.md).")
    noise_seed: int = added(0, "Of that protocol's noise.")


class CodeMeasurement(Reconstruction):
    """Measure the codes of an autoencoder (section 3.4)."""

    images: int = Field(256, ge=1, description="Validation images whose codes are perturbed.")
    seed: int = 0


class StorageStudy(Encoding):
    """Measure what codes and shared weights store."""

    autoencoder: AnyAutoencoder = Field(json_schema_extra={"operational": True})
    whole: bool = Field(True, description="false: only the quality of training images and of validation images.")
    images: int = Field(400, ge=4, description="Images of each split, at most; in a square mosaic.")
    known: int = Field(4096, ge=2, description="Training images, at most, whose codes give ranges and frequencies.")
    added: int = Field(32, ge=1, description="New images whose codes are tuned.")
    steps: int = Field(50, ge=1, description="Steps of tuning.")


class Exploration(Section):
    """Show the contents of key codes and hash tables, on the first validation images."""

    rows: int = Field(6, ge=1, description="Images, and pairs of images to interpolate between.")
    steps: int = Field(9, ge=2, description="Images from the first of a pair to the second, both included.")
    codes: int = Field(10, ge=0, description="Images, and samples, in the page's key explorer; 0: none.")
    sampler: Sampler = Field(Sampler(), description="Of the samples.")
    seed: int = Field(0, description="Of the samples.")
    cpu_threads: int = Field(1, ge=1)


class Architecture(Section):
    """An autoencoder for images of `resolution` with `channels` channels."""

    autoencoder: AnyAutoencoder
    resolution: int
    channels: int
    entry: str | None = Field(None, description="Its config entry, for errors.")


class Complexity(Section):
    models: dict[str, Architecture] = Field(description="By the names of their counts.")


class Decoding(Section):
    """Measure the decoding speed of several autoencoders, in turn."""

    models: dict[str, Architecture]
    batch: int = Field(8, ge=1)
    rounds: int = Field(7, ge=1)
    cpu_threads: int = Field(1, ge=1)


def summary_of_page(job: Job) -> dict[str, Output]:
    """The summary of a model's or sample set's numbers, for the page of the run."""
    return {f"summary:{job.label}-{job.digest}": job["summary.json"]}


def caption(job: Job) -> str:
    """The caption of the pairs of images."""
    return f"The first validation images (first row) and their reconstructions (second row), by {job.entry}."


def size_of_reconstructions(job: Job, images: int) -> int:
    """Bytes of a model's reconstructions, at most."""
    name = job.jobs.config.autoencoders[job.entry.partition(".")[2]].dataset
    return int(job.jobs(known_images)[name].validation * png_bytes(job, name))


def size_of_codes(job: Job, images: int) -> int:
    """Bytes of the codes of a training split."""
    model = job.jobs.config.autoencoders[job.entry.partition(".")[2]]
    return int(job.jobs(known_images)[model.dataset].train * prod(model.code_size) * FLOAT32)


def too_few_to_interpolate(job: Job, needed: Needed) -> Iterator[str]:
    """A line if the validation split has one image."""
    data = job.jobs.config.autoencoders[job.entry.partition(".")[2]].dataset
    if split_count(job.jobs, data, "validation") < 2:
        yield f"datasets.{data}.split: one validation image, where the exploration of codes interpolates between two"


def inference_uses(*works: str, split: str = "", items: float = 0, networks: Sequence[str] = ()) -> Uses:
    """The uses of a trained autoencoder on a split, or on so many images, and of metric networks on both sides."""

    def uses(job: Job, images: int) -> Iterator[Use]:
        model = job.jobs.config.autoencoders[job.entry.partition(".")[2]]
        count = getattr(job.jobs(known_images)[model.dataset], split) if split else items
        batch = job.settings.get("micro_batch", job.jobs.config.evaluation.micro_batch)
        for work in works:
            yield Use(work, model, count, batch)
        for name in networks:
            resolution = job.jobs.config.datasets[model.dataset].resolution
            yield Use("features", name, 2 * count, batch, resolution=resolution)

    return uses


def decoding_uses(job: Job, images: int) -> Iterator[Use]:
    """Several autoencoders in turn; first rounds choose kernels."""
    how = job.settings
    for model in how["models"].values():
        settings = parse_autoencoder(model["autoencoder"], job.entry)
        yield Use("decode", settings, 3 * how["rounds"] * how["batch"], how["batch"])


_on_gpu = partial(Stage, gpu=True, memory_mb=8000)
RECONSTRUCT = _on_gpu(
    "reconstruct",
    "reconstructions",
    Reconstruction,
    {
        "reconstructions": "reconstructions.zip",
        "table": "per_image.csv",
        "summary": "summary.json",
        "picture": "pairs.png",
    },
    numbers=lambda job: (q.RECONSTRUCTIONS.name, job.entry.partition(".")[2]),
    page=summary_of_page,
    kind=q.RECONSTRUCTIONS,
    numbers_of_row=lambda jobs, row: [jobs(reconstruction, row)["summary.json"]],
    title=lambda job: "Reconstruction of the validation images",
    size=size_of_reconstructions,
    uses=inference_uses("encode", "decode", split="validation", networks=q.IMAGE_NETWORKS),
    message="Reconstructing with",
    reported=Reported("picture", "Reconstructions", caption),
)
COMPLEXITY = Stage(
    "complexity",
    "complexity",
    Complexity,
    {"output": "complexity.json"},
    local=True,
    seeded=False,
    message="Counting the models of",
)
DUMP_CODES = Stage(
    "dump_codes",
    "codes",
    Encoding,
    {"codes": "codes.safetensors", "hits": "hits.npz", "statistics": "statistics.json"},
    gpu=True,
    memory_mb=16_000,
    summary="statistics",
    size=size_of_codes,
    uses=inference_uses("encode", split="train"),
    message="Dumping key codes of",
)
EXPLORE_CODES = _on_gpu(
    "explore_codes",
    "explorations",
    Exploration,
    {
        "interpolations": "interpolation.zip",
        "by_resolutions": "resolutions.zip",
        "by_groups": "groups.zip",
        "columns": "columns.json",
        "explorer": "explorer.json",
    },
    problems=too_few_to_interpolate,
    uses=inference_uses("encode", "decode", items=EXPLORED_IMAGES),
    message="Exploring key codes of",
)
_summarized = partial(_on_gpu, outputs={"summary": "summary.json"})
MEASURE_CODES = _summarized(
    "measure_codes",
    "code_measurements",
    CodeMeasurement,
    kind=q.CODES,
    numbers_of_row=lambda jobs, row: [jobs(code_measurement, row)["summary.json"]],
    uses=inference_uses("encode", "decode", items=MEASURED_IMAGES, networks=["lpips_alex"]),
    message="Measuring codes of",
)
MEASURE_STORAGE = _summarized(
    "measure_storage",
    "storage",
    StorageStudy,
    kind=q.STORED,
    numbers_of_row=lambda jobs, row: [jobs(storage_study, row)["summary.json"]],
    uses=inference_uses("encode", "decode", items=STORED_IMAGES, networks=["lpips_alex"]),
    message="Measuring the storage of",
)
MEASURE_DECODING = Stage(
    "measure_decoding",
    "decodings",
    Decoding,
    {"output": "decoding.json"},
    gpu=True,
    alone=True,
    memory_mb=16_000,
    seeded=False,
    uses=decoding_uses,
    message="Timing decoders in turns:",
)


def with_autoencoder(
    jobs: Jobs,
    stage: Stage,
    name: str,
    split: str = "validation",
    inputs: Inputs | None = None,
    networks: Sequence[str] = (),
    **settings: Any,
) -> Job:
    """A job that reads a trained autoencoder, the images of a split, and metric networks.

    Its settings are these, and those with which the model encodes images. Without a network that is not available, the
    job lacks its metrics.
    """
    model = jobs.config.autoencoders[name]
    common: dict[str, Any] = {"autoencoder": model, "micro_batch": jobs.config.evaluation.micro_batch}
    common["cpu_threads"] = model.execution.cpu_threads
    settings = {key: value for key, value in common.items() if key in stage.settings.model_fields} | settings
    read: Inputs = {
        "images": jobs(dataset, model.dataset)[f"{split}.zip"],
        "autoencoder": jobs(autoencoder, name)["autoencoder.safetensors"],
        **(inputs or {}),
    }

    def reading(networks: Sequence[str]) -> Job:
        every = read | {key: network(key) for key in networks}
        facts: dict[str, Any] = {key: network_digest(key) for key in networks}
        if "autoencoder" in settings and not jobs(autoencoder, name).is_training:
            facts["traits"] = traits(model)  # printed, and not covered by a training's digest
        return jobs.job(stage, f"autoencoders.{name}", settings, inputs=every, facts=facts, code=family_code(model))

    whole = reading(networks)
    usable = [key for key in networks if is_network_available(jobs, key, [whole])]
    return whole if len(usable) == len(networks) else reading(usable)


def reconstruction(jobs: Jobs, name: str) -> Job:
    settings: dict[str, Any] = {}
    if jobs.config.tables is not None and name in jobs.config.tables.authors_protocol:
        settings = {"authors_protocol": True, "noise_seed": jobs.seed(0, "noise of the authors' protocol")}
    return with_autoencoder(jobs, RECONSTRUCT, name, networks=q.IMAGE_NETWORKS, **settings)


def codes(jobs: Jobs, name: str, split: str = "train") -> Job:
    """The job that dumps the codes of a split: those of the encoder that a decoder stage keeps."""
    return with_autoencoder(jobs, DUMP_CODES, jobs.config.encoder_of(name), split)


def code_measurement(jobs: Jobs, name: str) -> Job:
    dumped, images = jobs(codes, name), jobs.config.evaluation.noise_images
    read: Inputs = {"codes": dumped["codes.safetensors"], "hits": dumped["hits.npz"]}
    seed = jobs.seed(0, "code noise")
    return with_autoencoder(jobs, MEASURE_CODES, name, inputs=read, networks=["lpips_alex"], images=images, seed=seed)


def storage_study(jobs: Jobs, name: str) -> Job:
    wanted = jobs.config.tables_or_default
    whole = name in (*wanted.rates, *wanted.bits_of_numbers, *wanted.new_images)
    read: Inputs = {"training": jobs(dataset, jobs.config.autoencoders[name].dataset)["train.zip"]}
    return with_autoencoder(jobs, MEASURE_STORAGE, name, inputs=read, networks=["lpips_alex"], whole=whole)


def complexity(jobs: Jobs, table: str, names: tuple[str, ...], paper_names: tuple[str, ...] = ()) -> Job:
    """The counts of a table's autoencoders, of this config and of the paper's; nothing is trained."""
    models, paper = [(jobs.config, name, f"autoencoders.{name}") for name in names], paper_config()
    models += [(paper, name, f"autoencoders.{name} of {PAPER.name}") for name in paper_names]
    families = {config.autoencoders[name].family for config, name, _ in models}
    counting = (autoencoder_family(family).counts.partition(":")[0] for family in families)
    settings, numerical = _several(models)
    code = tuple(sorted({*map(family_module, families), *counting}))
    return jobs.job(COMPLEXITY, f"tables.{table}", {"models": settings}, {"models": numerical}, code=code)


@cache
def paper_config() -> Config:
    """The paper's config; cached, because a process may make many plans."""
    return read_config(PAPER)


def decoding(jobs: Jobs, names: tuple[str, ...]) -> Job:
    """The job that measures decoded images per second of these autoencoders, in turns; nothing is trained."""
    evaluation, models = jobs.config.evaluation, jobs.config.autoencoders
    how = evaluation.decoding.model_dump() | {"cpu_threads": evaluation.cpu_threads}
    settings, numerical = _several([(jobs.config, name, f"autoencoders.{name}") for name in names])
    code = tuple(dict.fromkeys(module for name in names for module in family_code(models[name])))
    return jobs.job(MEASURE_DECODING, "decoding", how | {"models": settings}, how | {"models": numerical}, code=code)


def timed_models(jobs: Jobs) -> tuple[str, ...]:
    wanted = jobs.config.tables_or_default
    return tuple(dict.fromkeys([*wanted.decoding, *wanted.equal_budget, *jobs.config.figures.rate_quality]))


def _several(models: list[tuple[Config, str, str]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a measurement of models (config, name, entry for errors): all, and the numerical ones."""
    settings: dict[str, Any] = {}
    numerical: dict[str, Any] = {}
    for config, name, entry in models:
        model, key = config.autoencoders[name], model_id(config, name)
        size = image_size(config, model.dataset)
        settings.setdefault(key, {"autoencoder": model, "entry": entry, **size})
        numerical.setdefault(key, {"autoencoder": model.architecture(), **size})
    return settings, numerical


def model_id(config: Config, name: str) -> str:
    """The key of a model in a measurement of several: from its architecture, not from its name in the config."""
    model = config.autoencoders[name]
    architecture = model.architecture() | image_size(config, model.dataset)
    text = json.dumps(architecture, sort_keys=True)
    return f"{model.family}-{model.code_size}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
