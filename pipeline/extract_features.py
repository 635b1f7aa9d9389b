"""Stage: the features of a range of an image set in one feature space, taken once and kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor

from pipeline.base.command import run_stage, stage
from pipeline.data.archive import ImageArchive
from pipeline.evaluation.batches import metric_device
from pipeline.evaluation.feature_files import write_features
from pipeline.evaluation.features import extract
from pipeline.stages.evaluation import Extraction


@stage
def extract_features(
    job: Extraction,
    images: Annotated[list[Path], typer.Option(help="A zip of PNGs; several are one set, in order.")],
    weights: Annotated[Path, typer.Option(help="The network's weights, from `pipeline.fetch_network`.")],
    features: Annotated[Path, typer.Option(help="Where the features go (npz).")],
    first: Annotated[int, typer.Option(help="Index of the first image.", min=0)] = 0,
    last: Annotated[int | None, typer.Option(help="Index behind the last image; by default, and at most, all.")] = None,
    starts_at: Annotated[int, typer.Option(help="Index of the first image in the files.", min=0)] = 0,
) -> None:
    device = metric_device(job.cpu_threads)
    archive = ImageArchive(images)
    of_set = Shifted(archive, starts_at) if starts_at else archive
    found = extract(of_set, job.space, weights, first, last, job.micro_batch, device)
    write_features(features, found, first)


class Shifted:
    """Images of a set from index `start` on, by their indices in the whole set."""

    def __init__(self, images: ImageArchive, start: int):
        self.images, self.start = images, start
        self.channels = images.channels

    def __len__(self) -> int:
        return self.start + len(self.images)

    def tensor(self, indices: Sequence[int] | None = None) -> Tensor:
        """These images as uint8 (N, C, R, R)."""
        return self.images.tensor([index - self.start for index in indices or range(self.start, len(self))])


if __name__ == "__main__":
    run_stage(extract_features)
