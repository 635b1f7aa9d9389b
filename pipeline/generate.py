"""Stage: make one shard of a sample set, images [first, last) (section 4)."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.base.command import needed, run_stage, stage
from pipeline.base.errors import InputError
from pipeline.base.seeds import seed_for
from pipeline.data.archive import ImageArchive
from pipeline.families import generator_family
from pipeline.settings.diffusion import DiffusionSamples, FilesSamples, GaussianSamples, GeneratorSamples, RealSamples
from pipeline.stages.generation import GenerationJob

if TYPE_CHECKING:
    from pipeline.generation.images import Make


@stage
def generate_shard(
    job: GenerationJob,
    first: Annotated[int, typer.Option(help="Index of the first image.")],
    last: Annotated[int, typer.Option(help="Index behind the last image.")],
    images: Annotated[Path, typer.Option(help="Where the shard goes (a zip of PNGs).")],
    autoencoder: Annotated[Path | None, typer.Option(help="The decoder of samples that are codes.")] = None,
    diffusion: Annotated[Path | None, typer.Option(help="The trained diffusion model (kind diffusion).")] = None,
    generator: Annotated[Path | None, typer.Option(help="The trained generator (kind generator).")] = None,
    codes: Annotated[Path | None, typer.Option(help="Training key codes (kind gaussian_codes).")] = None,
    train: Annotated[Path | None, typer.Option(help="The training split (kind real).")] = None,
) -> None:
    if isinstance(job.samples, FilesSamples):
        from pipeline.generation.files import copy_files

        copy_files(job.samples, job.resolution, job.channels, images, first, last)
        return
    import torch

    from pipeline.generation.images import copy_images, decoded, generate
    from pipeline.models.checkpoints import load_autoencoder, load_generator

    torch.set_num_threads(job.samples.cpu_threads)
    how = job.samples.micro_batch, job.samples.precision
    reason = f"samples of kind {job.samples.kind} need it"
    make_codes: Make
    match job.samples:
        case DiffusionSamples():
            from pipeline.models.diffusion import load_diffusion

            trained = load_diffusion(needed(diffusion, "--diffusion", reason))
            make_codes = partial(trained.sample, seed=job.seed, sampler=job.samples.sampler)
        case GaussianSamples():
            make_codes = _gaussian_codes(job, needed(codes, "--codes", reason))
        case GeneratorSamples():
            model = load_generator(needed(generator, "--generator", reason))
            make_codes = partial(model.sample, seed=job.seed, sampler=job.samples.sampler)
            if generator_family(model.settings.family).reads == "images":
                generate(make_codes, model.shape[0], images, first, last, *how)
                return
        case RealSamples():
            source = ImageArchive(needed(train, "--train", reason))
            if len(source) < last:
                raise InputError(f"{train}: {len(source)} images, where the sample set needs {last}; lower its count")
            order = torch.randperm(len(source), generator=torch.Generator().manual_seed(seed_for(job.seed, "order")))
            copy_images(source, order.tolist(), images, first, last)
            return
    decoder = load_autoencoder(needed(autoencoder, "--autoencoder", reason))
    with decoder.frozen():
        make = decoded(make_codes, decoder)
        generate(make, decoder.channels, images, first, last, *how)


def _gaussian_codes(job: GenerationJob, path: Path) -> "Make":
    from pipeline.generation.gaussian import fit_gaussian, gaussian_codes
    from pipeline.models.checkpoints import read_codes
    from pipeline.models.generator import noise_generators

    training_codes = read_codes(path)
    mean, root = fit_gaussian(training_codes)
    shape = training_codes.shape[1:]
    return lambda indices: gaussian_codes(mean, root, noise_generators(job.seed, indices), shape)


if __name__ == "__main__":
    run_stage(generate_shard)
