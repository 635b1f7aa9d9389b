"""Stage: the features of a range of an image set in one feature space, extracted once and stored."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import stage
from bright_pipeline.data.archive import ImageArchive
from bright_pipeline.evaluation.feature_files import write_features
from bright_pipeline.stages.evaluation import Extraction


@stage
def extract_features(
    job: Extraction,
    images: Annotated[list[Path], typer.Option(help="A zip of PNGs; several are one set, in order.")],
    weights: Annotated[Path, typer.Option(help="The network's weights, from `bright fetch_network`.")],
    features: Annotated[Path, typer.Option(help="Where the features go (npz).")],
    first: Annotated[int, typer.Option(help="Index of the first image.", min=0)] = 0,
    last: Annotated[int | None, typer.Option(help="Index after the last image; by default, and at most, all.")] = None,
    starts_at: Annotated[int, typer.Option(help="Index of the first image in the files.", min=0)] = 0,
) -> None:
    from bright_pipeline.evaluation.batches import metric_device
    from bright_pipeline.evaluation.features import extract

    device = metric_device(job.cpu_threads)
    extracted = extract(ImageArchive(images), job.space, weights, first, last, job.micro_batch, device, starts_at)
    write_features(features, extracted, first)
