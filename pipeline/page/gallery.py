"""What can be looked at closely: reconstructions beside their originals, samples beside their neighbours."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pipeline.base.errors import InputError
from pipeline.data.archive import ImageArchive
from pipeline.figures.images import read_neighbours
from pipeline.page.pictures import Budget, image_uri
from pipeline.settings.quantities import RECONSTRUCTION
from pipeline.stages.page import SAMPLES

PAIRS = 24
UNBROKEN = "\N{NO-BREAK SPACE}"
METRICS = {quantity.compared: quantity.on_page for quantity in reversed(RECONSTRUCTION) if quantity.on_page}
"""Column of per_image.csv -> its format below an image."""


@dataclass(frozen=True)
class Pairs:
    """The first validation images, and each model's reconstructions of them with their metrics, in words."""

    originals: list[str]
    reconstructions: dict[str, list[str]]
    words: dict[str, list[str]]
    count: int  # of the whole validation split
    resolution: int


def gather_pairs(validation: Path, reconstructions: dict[str, Path], per_image: dict[str, Path], size: int) -> Pairs:
    """As many of the first images as fit into `size` bytes, at most PAIRS."""
    originals, budget = ImageArchive(validation), Budget(size)
    archives = {model: ImageArchive(path) for model, path in reconstructions.items()}
    for model, archive in archives.items():
        if len(archive) != len(originals):
            raise InputError(
                f"reconstructions {model}: {len(archive)} images, {validation} has {len(originals)}; make them again"
            )
    shown = 0
    for index in range(min(PAIRS, len(originals))):
        images = {f"{index}": image_uri(originals.read(index))}
        images |= {f"{model} {index}": image_uri(archive.read(index)) for model, archive in archives.items()}
        if not budget.add(images):
            break
        shown += 1
    return Pairs(
        [budget.images[f"{index}"] for index in range(shown)],
        {model: [budget.images[f"{model} {index}"] for index in range(shown)] for model in archives},
        {model: _metric_words(per_image[model], shown) if model in per_image else [""] * shown for model in archives},
        len(originals),
        originals.resolution,
    )


def _metric_words(path: Path, count: int) -> list[str]:
    """Such as `PSNR 24.07 dB, SSIM 0.859` for each of the first images; lines break behind a comma alone."""
    frame = pd.read_csv(path).head(count)
    known = {column: form.replace(" ", UNBROKEN) for column, form in METRICS.items() if column in frame}
    return [", ".join(form.format(row[column]) for column, form in known.items()) for _, row in frame.iterrows()]


@dataclass(frozen=True)
class Sample:
    """A generated image and its nearest training images: (name, LPIPS), nearest first."""

    uri: str
    neighbours: list[tuple[str, float]]


@dataclass(frozen=True)
class Samples:
    """The first samples of a set, and the training images that are near them."""

    shown: list[Sample]
    train: dict[str, str] = field(default_factory=dict)  # name -> data URI

    @property
    def with_neighbours(self) -> int:
        return sum(bool(sample.neighbours) for sample in self.shown)


def gather_samples(shards: list[Path], neighbours: Path | None, train: Path | None, size: int) -> Samples:
    """As many of the first samples as fit into `size` bytes with their neighbours, at most SAMPLES."""
    made, budget = ImageArchive(shards), Budget(size)
    near = _neighbours(neighbours)
    seen = ImageArchive(train) if near and train is not None else None
    places = {name: index for index, name in enumerate(seen.names)} if seen is not None else {}
    shown = []
    for index in range(min(SAMPLES, len(made))):
        found = near.get(made.names[index], [])
        sample = {f"sample {index}": image_uri(made.read(index))}
        new = [name for name, _ in found if name not in budget.images]
        if seen is not None and (absent := [name for name in new if name not in places]):
            raise InputError(f"neighbours: {absent[0]} is not in the training split; make the neighbours again")
        near_it = {name: image_uri(seen.read(places[name])) for name in new} if seen is not None else {}
        if not budget.add(sample | near_it):
            break
        shown.append(Sample(sample[f"sample {index}"], found))
    used = {name for sample in shown for name, _ in sample.neighbours}
    return Samples(shown, {name: budget.images[name] for name in sorted(used)})


def _neighbours(path: Path | None) -> dict[str, list[tuple[str, float]]]:
    """Generated image -> its neighbours, as the neighbours stage wrote them."""
    if path is None:
        return {}
    generated = read_neighbours(path).sort_values("rank")
    return {
        str(image): list(zip(rows["train_image"], rows["lpips"], strict=True))
        for image, rows in generated.groupby("image")
    }
