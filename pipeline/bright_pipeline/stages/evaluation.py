"""Metrics of image sets (appendix B): features once per set, then everything from them; nearest neighbours."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from bright_pipeline.base.paths import NETWORKS
from bright_pipeline.data.fingerprint import check_as_planned, fingerprint
from bright_pipeline.data.listing import raw_files
from bright_pipeline.engine.jobs import Inputs, Job, Reported, Source, Stage, Use, spans
from bright_pipeline.engine.run import Needed
from bright_pipeline.families import autoencoder_family, generator_family
from bright_pipeline.models.metric_networks import manifest
from bright_pipeline.models.traits import traits
from bright_pipeline.settings import diffusion as kinds
from bright_pipeline.settings.dataset import FolderSource, ZipSource
from bright_pipeline.settings.evaluation import Neighbours, SpaceName
from bright_pipeline.settings.fields import Section, operational
from bright_pipeline.settings.figures import FIGURES
from bright_pipeline.settings.quantities import DISTANCES, KINDS
from bright_pipeline.settings.spaces import DISTANCE, FEWEST_IMAGES, SPACES, fewest_images, space_of, spaces_of
from bright_pipeline.stages.common import FLOAT32, Jobs, is_network_available, network
from bright_pipeline.stages.datasets import UNKNOWN, dataset, known_images, prepared, split_count
from bright_pipeline.stages.generation import sample_seed, samples
from bright_pipeline.stages.measurements import reconstruction, summary_of_page

GAUSSIAN, REAL = "Gaussian codes", "Real images"  # methods for comparison


class Extraction(Section):
    """Features of an image set in one feature space."""

    space: SpaceName = Field(description="The feature space.")
    micro_batch: int = Field(64, ge=1, description="Images the network sees at once, the last batch padded.")
    cpu_threads: int = Field(1, ge=1, description="Threads on a CPU.")


class EvaluationJob(Section):
    """Metrics of one image set against a reference set, in one feature space."""

    kind: Literal["generation", "reconstruction_distance"] = Field(
        "generation", description="All metrics of the space, or the Fréchet distance of reconstructions (rFID)."
    )
    sample_kind: Literal["diffusion", "gaussian_codes", "generator", "real", "files", "reconstruction"] = Field(
        description="How the images were made."
    )
    method: str = Field(description="The name of the row, such as BRIGHT (LDM).")
    space: SpaceName = Field(description="The space of the features.")
    reference: str = Field(description="The split of the reference images.")
    prepared: str = Field("as they are", description="How the reference images got their size: crop and filter.")
    count: int | None = Field(None, ge=2, description="Number of images to score, the first ones; by default all.")
    reference_count: int | None = Field(None, ge=2, description="Required number of reference images.")
    code_size: str | None = Field(None, description="Size of the key codes that the images were decoded from.")
    seed: int = Field(0, description="The seed of the image set, for the record.")
    cpu_threads: int = Field(1, ge=1, description="Threads on a CPU.")

    @property
    def of_reconstructions(self) -> bool:
        """Whether the images are reconstructions of the reference images."""
        return KINDS[self.kind] is DISTANCES


class NeighboursJob(Neighbours):
    """Nearest training images by LPIPS (Fig. 9)."""

    method: str = Field("", description="The name of the row, such as BRIGHT (LDM).")
    validation_count: int | None = Field(None, ge=1, description="Number of validation images; by default all.")
    micro_batch: int = Field(64, ge=1, description="Images the network sees at once, the last batch padded.")
    memory_gb: float = operational(2.0, "Memory limit for embeddings and distances.", gt=0)
    cpu_threads: int = Field(1, ge=1, description="Threads on a CPU.")


def too_few_references(job: Job, needed: Needed) -> Iterator[str]:
    """A line if an upper bound of the reference split's size is too small for the metrics of a network."""
    section, _, name = job.entry.partition(".")
    entry = getattr(job.jobs.config, section)[name.partition(" ")[0]]
    data, split = job.jobs.config.dataset_of(entry), job.settings["reference"]
    network = SPACES[job.settings["space"]].network
    fewest = FEWEST_IMAGES[DISTANCE] if section == "autoencoders" else fewest_images(network)
    wanted = max(fewest, job.settings["reference_count"] or 0)
    if (most := split_count(job.jobs, data, split)) < wanted:
        yield f"datasets.{data}.split: {most} {split} images, where metrics of {network} take {wanted}"


def place_of_scores(job: Job) -> tuple[str, ...]:
    """(kind, name, space), with the number of images for a sample set."""
    name, _, space = job.entry.partition(".")[2].partition(" in ")
    count = job.settings["count"]
    return (job.settings["kind"], name, space, *([] if count is None else [str(count)]))


def title_of_scores(job: Job) -> str:
    """The heading of a set's metrics on a model card."""
    entry = job.entry.partition(".")[2]
    if KINDS[job.settings["kind"]] is DISTANCES:
        return f"Reconstructions as a set, {entry.partition(' in ')[2]}"
    return f"{job.settings['count']} images of {entry.replace(' in ', ', ')}"


WIDEST = 4096  # numbers in a feature: VGG16's


def counted(job: Job, images: int) -> int:
    """The number of images whose features are extracted; the estimate's for a split not counted yet."""
    if images < UNKNOWN:
        return images
    name, split, *_ = job.entry.partition(".")[2].split()
    if not job.entry.startswith("datasets."):
        name, split = job.jobs.config.autoencoders[name].dataset, "validation"
    return int(getattr(job.jobs(known_images)[name], split))


def feature_uses(job: Job, images: int) -> Iterator[Use]:
    """A metric network on images."""
    yield Use("features", SPACES[job.settings["space"]].network, counted(job, images), job.settings["micro_batch"])


def neighbour_uses(job: Job, images: int) -> Iterator[Use]:
    """LPIPS's network on the training images."""
    config = job.jobs.config
    data = config.dataset_of(config.samples[job.entry.partition(".")[2]])
    count, resolution = job.jobs(known_images)[data].total, config.datasets[data].resolution
    yield Use("features", "lpips_alex", count, job.settings["micro_batch"], resolution=resolution)


def score_uses(job: Job, images: int) -> Iterator[Use]:
    """Covariances of both sets, and for precision and recall the distances of all pairs of images, in 64 bits."""
    section, _, name = job.entry.partition(".")
    entry = getattr(job.jobs.config, section)[name.partition(" ")[0]]
    known = job.jobs(known_images)[job.jobs.config.dataset_of(entry)]
    reference = job.settings["reference_count"] or getattr(known, job.settings["reference"])
    count = job.settings["count"] or known.validation
    pairs = (count + reference) ** 2 if "precision_recall" in SPACES[job.settings["space"]].metrics else 0
    yield Use("compute", "", 4 * WIDEST * (pairs + WIDEST * (count + reference)))


EXTRACT_FEATURES = Stage(
    "extract_features",
    "features",
    Extraction,
    {"features": "features-{first}-{last}.npz"},
    gpu=True,
    memory_mb=16_000,
    size=lambda job, images: counted(job, images) * WIDEST * FLOAT32,
    uses=feature_uses,
    message="Extracting features of",
)
SCORE_FEATURES = Stage(
    "score_features",
    "evaluations",
    EvaluationJob,
    {"summary": "summary.json"},
    memory_mb=16_000,
    numbers=place_of_scores,
    page=summary_of_page,
    title=title_of_scores,
    problems=too_few_references,
    uses=score_uses,
    message="Scoring",
)
NEAREST_NEIGHBOURS = Stage(
    "nearest_neighbours",
    "neighbours",
    NeighboursJob,
    {"table": "neighbours.csv", "summary": "summary.json", "figure": "neighbours.png"},
    gpu=True,
    memory_mb=16_000,
    numbers=lambda job: ("neighbours", job.entry.partition(".")[2]),
    uses=neighbour_uses,
    message="Finding nearest neighbours of",
    reported=Reported("figure", "Figures", lambda job: FIGURES["fig09"].caption),
)


def spaces(jobs: Jobs, name: str) -> tuple[str, ...]:
    return spaces_of(name, jobs.config.evaluation.precision_recall)


def features(
    jobs: Jobs,
    images: Source | list[Source],
    count: int,
    space: str,
    entry: str,
    label: str,
    facts: dict[str, Any] | None = None,
    networks: Path = NETWORKS,
) -> Job:
    """The features of the first `count` images in these files, in ranges. facts: identify files that no job makes."""
    how, name = jobs.config.evaluation, space_of(space).network
    return jobs.job(
        EXTRACT_FEATURES,
        f"{entry} in {space}",
        {"space": space, "micro_batch": how.micro_batch, "cpu_threads": how.cpu_threads},
        inputs={"images": images, "weights": str(manifest.network_path(name, networks))},
        facts=(facts or {}) | {"sha256": manifest.network_digest(name)},
        label=f"{label}-{space.replace('_', '-')}",
        ranges=spans(count, count if count == UNKNOWN else how.shard),
    )


def sample_features(jobs: Jobs, name: str, space: str) -> Job:
    job = jobs(samples, name)
    images: list[Source] = [job[file] for file in job.files]
    return features(jobs, images, jobs.config.samples[name].count, space, job.entry, name)


def split_features(jobs: Jobs, name: str, split: str, space: str, count: int | None = None) -> Job:
    """The features of a split's first `count` images; of all for None."""
    most = split_count(jobs, name, split)
    images, count = jobs(dataset, name)[f"{split}.zip"], most if count is None else min(count, most)
    return features(jobs, images, count, space, f"datasets.{name} {split}", f"{name}-{split}")


def evaluation(jobs: Jobs, name: str, space: str, count: int) -> Job:
    """The metrics of a sample set's first `count` images in one space."""
    settings, how = jobs.config.samples[name], jobs.config.evaluation
    data = jobs.config.dataset_of(settings)
    generated = jobs(sample_features, name, space)
    reference = jobs(split_features, data, how.reference, space, how.reference_count)
    facts = {
        "sample_kind": settings.kind,
        "method": method(jobs, settings),
        "count": count,
        "reference": how.reference,
        "reference_count": how.reference_count,
        "seed": sample_seed(jobs, settings),
        "prepared": prepared(jobs.config.datasets[data]),
    }
    return score(jobs, f"samples.{name}", name, facts, generated, reference, ranges=-(-count // how.shard))


def method(jobs: Jobs, settings: kinds.Samples, labelled: bool = False) -> str:
    """The method of a sample set, as the tables print it. labelled: with its decoder's label, for readers only."""
    if isinstance(settings, kinds.GeneratorSamples):
        return generator_family(jobs.config.generators[settings.generator].family).method
    if isinstance(settings, kinds.FilesSamples):
        return settings.method
    if not isinstance(settings, kinds.DiffusionSamples):
        return GAUSSIAN if isinstance(settings, kinds.GaussianSamples) else REAL
    model = jobs.config.diffusions[settings.diffusion]
    if model.weights is not None:
        return "LDM*"  # Table 5's row of the released checkpoint
    decoder = jobs.config.autoencoders[jobs.config.autoencoder_of(settings) or model.autoencoder]
    # An ablation or a decoder stage is no row of the paper.
    label = decoder.label if labelled else None
    words = ", ".join(filter(None, ["LDM", label or traits(decoder).get("ablation")]))
    return f"BRIGHT ({words})" if decoder.family == "bright" else words


def reconstruction_distance(jobs: Jobs, name: str, space: str) -> Job:
    """rFID: the distance between an autoencoder's reconstructions of the validation split and that split."""
    model, job = jobs.config.autoencoders[name], jobs(reconstruction, name)
    count = split_count(jobs, model.dataset, "validation")
    images, entry = job["reconstructions.zip"], f"{job.entry} reconstructions"
    generated = features(jobs, images, count, space, entry, f"{name}-reconstructions")
    facts = {
        "kind": DISTANCES.name,
        "sample_kind": "reconstruction",
        "method": autoencoder_family(model.family).method,
        "code_size": traits(model)["code_size"],
        "reference": "validation",
        "prepared": prepared(jobs.config.datasets[model.dataset]),
    }
    return score(jobs, job.entry, name, facts, generated, jobs(split_features, model.dataset, "validation", space))


def score(
    jobs: Jobs, entry: str, label: str, facts: dict[str, Any], generated: Job, reference: Job, ranges: int | None = None
) -> Job:
    """The metrics of one set of features, or its first ranges, against another; `facts` describe both sets."""
    space = generated.settings["space"]
    inputs: Inputs = {
        "generated": [generated[file] for file in generated.files[:ranges]],
        "reference": [reference[file] for file in reference.files],
    }
    label = f"{label}-{space.replace('_', '-')}"
    return jobs.job(SCORE_FEATURES, f"{entry} in {space}", facts | {"space": space}, inputs=inputs, label=label)


def neighbours(jobs: Jobs, name: str) -> Job:
    """The nearest training images of a sample set's first images."""
    job, how, settings = jobs(samples, name), jobs.config.evaluation, jobs.config.samples[name]
    data = jobs(dataset, jobs.config.dataset_of(settings))
    count = min(how.neighbours.count, settings.count)
    return jobs.job(
        NEAREST_NEIGHBOURS,
        job.entry,
        how.neighbours.model_dump() | {"count": count, "cpu_threads": how.cpu_threads, "memory_gb": how.memory_gb},
        inputs={
            "generated": [job[file] for file in job.files[: -(-count // settings.shard)]],
            "train": data["train.zip"],
            "validation": data["validation.zip"],
            "weights": network("lpips_alex"),
        },
        facts={"sha256": manifest.network_digest("lpips_alex")},
    )


def distance_networks(jobs: Jobs) -> list[str]:
    """The networks of this config that measure distances of reconstructions."""
    measured = {space.network for space in SPACES.values() if space.measures_reconstructions}
    return [name for name in jobs.config.evaluation.networks if name in measured]


def distance_spaces(jobs: Jobs, models: list[str]) -> list[str]:
    """The spaces in which distances of reconstructions can be measured."""
    measurable: list[str] = []
    for name in distance_networks(jobs):
        network_spaces = spaces(jobs, name)
        distances = [jobs(reconstruction_distance, model, space) for model in models for space in network_spaces]
        if is_network_available(jobs, name, distances):
            measurable += network_spaces
    return measurable


@dataclass(frozen=True)
class ImageSet:
    """The first `count` images in a folder or a zip, outside any config, identified by the sha256 of all files."""

    path: Path
    count: int

    @property
    def name(self) -> str:
        """The name of the images in file names and tables."""
        return re.sub(r"[^A-Za-z0-9_.]+", "_", self.path.stem) or "images"

    @property
    def source(self) -> FolderSource | ZipSource:
        is_folder = self.path.is_dir()
        return FolderSource(kind="folder", path=self.path) if is_folder else ZipSource(kind="zip", path=self.path)

    @cached_property
    def sha256(self) -> str:
        """Computed once per process: another program may overwrite the images."""
        return fingerprint(raw_files(self.source, str(self.path)), str(self.path)).sha256

    def check(self) -> None:
        """InputError if the images were overwritten; called before anything computed from them is stored."""
        check_as_planned(self.sha256, self.source, str(self.path))


def set_features(jobs: Jobs, images: ImageSet, space: str, networks: Path) -> Job:
    """The features of an image set in one space, in ranges."""
    entry, facts = f"images {images.path}", {"images": images.sha256}
    return features(jobs, str(images.path), images.count, space, entry, images.name, facts, networks)
