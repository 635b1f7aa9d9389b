"""Stage: make one shard of a sample set, the images [first, last) (section 4)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bright_pipeline.engine.command import needed, stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import Progress
from bright_pipeline.base.seeds import seed_for
from bright_pipeline.data.archive import ArchiveWriter, ImageArchive, image_name
from bright_pipeline.data.decode import BadImage
from bright_pipeline.data.fingerprint import check_as_planned
from bright_pipeline.data.listing import printable
from bright_pipeline.data.sources import open_source, source_at
from bright_pipeline.families import generator_family
from bright_pipeline.settings import diffusion as kinds
from bright_pipeline.stages.generation import GenerationJob

if TYPE_CHECKING:
    import numpy as np  # engine.command comes before it


def file_reader(job: GenerationJob, samples: kinds.FilesSamples, last: int) -> "Callable[[int], np.ndarray]":
    """Read an image of a folder or zip by its index among the names; InputError names a damaged or misfit one."""
    import numpy as np

    (files,) = open_source(source_at(samples.path), "samples").values()
    names = files.names()
    if len(names) < last:
        raise InputError(f"{samples.path}: {len(names)} images, where the sample set needs {last}; lower its count")

    def read(index: int) -> "np.ndarray":
        where = f"{samples.path}: {printable(names[index])}"
        try:
            image = files.image(names[index], job.channels)
        except BadImage as error:
            raise InputError(f"{where}: {printable(str(error))}; samples are never skipped") from None
        if job.resolution is not None and image.size != (job.resolution, job.resolution):
            expected = f"the dataset {samples.dataset} is {job.resolution}x{job.resolution}"
            raise InputError(f"{where}: {image.width}x{image.height}, {expected}; samples are not resized")
        return np.asarray(image)

    return read


def copy(
    path: Path,
    first: int,
    last: int,
    channels: int,
    read: "Callable[[int], np.ndarray]",
    check_read: Callable[[], None] = lambda: None,
) -> None:
    """Write the images [first, last) as they are read; check_read: called before the archive is put in place."""
    with ArchiveWriter(path, channels) as archive, Progress("copy", last - first, "images") as progress:
        for index in range(first, last):
            archive.add(image_name(index), read(index))
            progress.advance()
        check_read()


@stage
def generate_shard(
    job: GenerationJob,
    first: Annotated[int, typer.Option(help="Index of the first image.")],
    last: Annotated[int, typer.Option(help="Index after the last image.")],
    images: Annotated[Path, typer.Option(help="Where the shard goes (a zip of PNGs).")],
    autoencoder: Annotated[Path | None, typer.Option(help="The decoder of samples that are codes.")] = None,
    diffusion: Annotated[Path | None, typer.Option(help="The trained diffusion model (kind diffusion).")] = None,
    generator: Annotated[Path | None, typer.Option(help="The trained generator (kind generator).")] = None,
    codes: Annotated[Path | None, typer.Option(help="Training key codes (kind gaussian_codes).")] = None,
    train: Annotated[Path | None, typer.Option(help="The training split (kind real).")] = None,
) -> None:
    reason = f"samples of kind {job.samples.kind} need it"
    if isinstance(job.samples, kinds.FilesSamples):
        check_read = partial(check_as_planned, job.sha256, source_at(job.samples.path), str(job.samples.path))
        copy(images, first, last, job.channels, file_reader(job, job.samples, last), check_read)
        return
    import torch

    from bright_pipeline.generation.sampling import Draw, gaussian_draw, sample
    from bright_pipeline.models.checkpoints import load_autoencoder, load_generator, read_codes
    from bright_pipeline.models.processor import use_cpu

    use_cpu(job.samples.cpu_threads)
    draw: Draw
    decoder, channels = None, None
    match job.samples:
        case kinds.RealSamples():
            source = ImageArchive(needed(train, "--train", reason))
            if len(source) < last:
                raise InputError(f"{train}: {len(source)} images, where the sample set needs {last}; lower its count")
            order = torch.randperm(len(source), generator=torch.Generator().manual_seed(seed_for(job.seed, "order")))
            copy(images, first, last, source.channels, lambda index: source.read(int(order[index])))
            return
        case kinds.DiffusionSamples():
            from bright_pipeline.models.diffusion import load_diffusion

            denoiser = load_diffusion(needed(diffusion, "--diffusion", reason))
            draw = partial(denoiser.sample, seed=job.seed, sampler=job.samples.sampler)
        case kinds.GaussianSamples():
            draw = gaussian_draw(read_codes(needed(codes, "--codes", reason)), job.seed)
        case kinds.GeneratorSamples():
            model = load_generator(needed(generator, "--generator", reason))
            draw = partial(model.sample, seed=job.seed, sampler=job.samples.sampler)
            if generator_family(model.settings.family).reads == "images":
                channels = model.shape[0]
    if channels is None:  # `draw` makes codes
        decoder = load_autoencoder(needed(autoencoder, "--autoencoder", reason))
        channels = decoder.channels
    with ArchiveWriter(images, channels) as archive:
        for batch in sample(draw, decoder, range(first, last), job.samples.micro_batch, job.samples.precision):
            archive.add_batch(batch, first)
            first += len(batch)
