"""Raw collections become archives of square PNGs; metric networks become safetensors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bright_pipeline.base.parsing import read_json
from bright_pipeline.config.root import Config
from bright_pipeline.data.fingerprint import missing_files, split_counts
from bright_pipeline.data.listing import missing_list
from bright_pipeline.data.prepare import outcome
from bright_pipeline.engine.jobs import Job, Stage, Use
from bright_pipeline.engine.run import Needed
from bright_pipeline.settings.dataset import Dataset
from bright_pipeline.settings.fields import operational
from bright_pipeline.stages.common import Jobs

ASSUMED_IMAGES = 10_000  # for training, where no source has a count
OF_A_PIXEL = 8e4  # operations that take as long as decoding, resizing and encoding: a tenth of a second for 256 x 256
PNG = 0.75  # of the raw bytes; photographs take 0.5 to 0.7
UNKNOWN = 10**9  # the size of a split whose raw images have not been counted; it is one range


class DatasetJob(Dataset):
    name: str = operational("dataset", "Its name in the config, for errors.")
    sha256: str | None = operational(None, "The fingerprint of its raw images; the stage ends if they differ.")
    list_sha256: str | None = operational(None, "The sha256 of `split.list`; the stage ends if the file differs.")


def no_images(job: Job, needed: Needed) -> Iterator[str]:
    """A line if the raw images or the list of the split are missing, or if an upper bound of a split's size is zero."""
    name = job.entry.partition(".")[2]
    data, where = job.jobs.config.datasets[name], f"datasets.{name}.source"
    listed = data.split.list
    if line := missing_files(data.source, where) or (None if listed is None else missing_list(listed, where)):
        yield line
    elif data.split.rule != "list":
        counts = split_counts(job.jobs(raw_images, name), data)
        for split in (split for split, count in counts.items() if count < 1):
            yield f"{job.entry}.split: {sum(counts.values())} images leave none for {split}"


def preparation_uses(job: Job, images: int) -> Iterator[Use]:
    """The pixels of the prepared images; raw images have more of them."""
    name = job.settings["name"]
    pixels = job.jobs.config.datasets[name].resolution ** 2
    yield Use("compute", "", OF_A_PIXEL * pixels * job.jobs(known_images)[name].total)


PREPARE_DATASET = Stage(
    "prepare_dataset",
    "datasets",
    DatasetJob,
    {"train": "train.zip", "validation": "validation.zip", "manifest": "manifest.json"},
    threads=8,
    problems=no_images,
    outcome=lambda job: f"{job.entry}: {outcome(read_json(Path(job.path('manifest.json')), job.entry))}",
    page=lambda job: {f"manifest:{job.settings['name']}": job["manifest.json"]},
    uses=preparation_uses,
    size=lambda job, images: job.jobs(known_images)[job.settings["name"]].total * png_bytes(job, job.settings["name"]),
    message="Preparing",
)


def dataset(jobs: Jobs, name: str) -> Job:
    """The job that prepares a dataset; its digest depends on the content of the images, not on their path."""
    settings, facts = jobs.config.datasets[name], jobs(raw_images, name)
    numerical = settings.numerical()
    numerical["source"] = facts["sha256"] if "sha256" in facts else {"absent": facts["absent"]}
    how = {key: value for key, value in settings.source.numerical().items() if key != "kind"}
    numerical |= {f"source.{key}": value for key, value in how.items()}
    planned: dict[str, Any] = {"name": name, "sha256": facts.get("sha256")}
    if settings.split.list is not None:
        numerical["split"]["list"] = facts["list"]
        planned["list_sha256"] = facts["list"] if isinstance(facts["list"], str) else None
    return jobs.job(PREPARE_DATASET, f"datasets.{name}", settings.model_dump() | planned, numerical)


def raw_images(jobs: Jobs, name: str) -> dict[str, Any]:
    settings = jobs.config.datasets[name]
    return jobs.fingerprints.collection(settings.source, f"datasets.{name}.source", settings.split.list)


def split_count(jobs: Jobs, name: str, split: str) -> int:
    """The largest possible number of images in a split."""
    return split_counts(jobs(raw_images, name), jobs.config.datasets[name]).get(split, UNKNOWN)


class ImageCounts(NamedTuple):
    """Images of both splits, and the source of the counts."""

    train: int
    validation: int
    known_from: str

    @property
    def total(self) -> int:
        return self.train + self.validation


def image_counts(name: str, dataset: Dataset, fingerprint: dict[str, Any], manifest: Path) -> ImageCounts:
    """From the manifest, else the fingerprint of the raw images, else the config's `expected`, else an assumption."""
    if manifest.exists():
        facts = read_json(manifest, f"manifest {manifest}")
        return ImageCounts(facts["train"]["count"], facts["validation"]["count"], "prepared")
    if counts := split_counts(fingerprint, dataset):
        return ImageCounts(counts["train"], counts["validation"], "raw images")
    if dataset.expected is not None:
        return ImageCounts(dataset.expected.train, dataset.expected.validation, f"datasets.{name}.expected")
    validation = dataset.split.validation or ASSUMED_IMAGES // 10
    return ImageCounts(ASSUMED_IMAGES, validation, f"assumed; set datasets.{name}.expected")


def known_images(jobs: Jobs) -> dict[str, ImageCounts]:
    return {
        name: image_counts(name, settings, jobs(raw_images, name), Path(jobs(dataset, name).path("manifest.json")))
        for name, settings in jobs.config.datasets.items()
    }


def png_bytes(job: Job, name: str) -> int:
    """An upper bound of an image of a dataset as a PNG."""
    images = job.jobs.config.datasets[name]
    return int(images.resolution**2 * images.channels * PNG)


def image_size(config: Config, name: str) -> dict[str, int]:
    """Resolution and channels of a dataset's images, as settings of stages."""
    images = config.datasets[name]
    return {"resolution": images.resolution, "channels": images.channels}


def prepared(settings: Dataset) -> str:
    """Crop and filter of a dataset's images, for the protocol: the filter alone changes FID by a point."""
    crop = {"center": "center crop", "none": "uncropped", "pad": "padded with black, unscaled"}[settings.crop]
    resize = "" if settings.crop == "pad" else f", Pillow {settings.filter}"
    return f"{crop}{resize}, to {settings.resolution}"
