"""Stage: reconstruct the validation split and measure it image by image (appendix B)."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.atomic import atomic_path, write_json
from pipeline.base.command import run_stage, stage
from pipeline.data.archive import ImageArchive, to_model
from pipeline.evaluation.protocol import reconstruction_protocol
from pipeline.families import autoencoder_family
from pipeline.models.traits import traits
from pipeline.stages.autoencoders import Reconstruction

PICTURE_IMAGES = 12


@stage
def reconstruct(
    job: Reconstruction,
    images: Annotated[Path, typer.Option(help="The validation split, a zip of PNGs.")],
    autoencoder: Annotated[Path, typer.Option(help="The trained autoencoder (safetensors).")],
    lpips_alex: Annotated[Path, typer.Option(help="AlexNet's weights, for LPIPS.")],
    lpips_vgg: Annotated[Path, typer.Option(help="VGG16's weights, for LPIPS-VGG.")],
    reconstructions: Annotated[Path, typer.Option(help="Where the reconstructions go (a zip of PNGs).")],
    table: Annotated[Path, typer.Option(help="Where the per-image metrics go (csv).")],
    summary: Annotated[Path, typer.Option(help="Where their means and deviations go (json).")],
    picture: Annotated[Path, typer.Option(help="Where the side-by-side picture goes (png).")],
) -> None:
    import torch

    from pipeline.data.pictures import contact_sheet, save_picture
    from pipeline.evaluation.reconstruction import reconstruction_metrics, reconstruction_summary
    from pipeline.generation.archives import archive_code_bits, reconstruct_archive
    from pipeline.generation.images import write_images
    from pipeline.models.checkpoints import load_autoencoder

    torch.set_num_threads(job.cpu_threads)
    originals = ImageArchive(images)
    model = load_autoencoder(autoencoder)
    write_images(reconstructions, originals.channels, reconstruct_archive(model, originals, job.micro_batch))
    networks = {"lpips_alex": lpips_alex, "lpips_vgg": lpips_vgg}
    reconstructed = ImageArchive(reconstructions)
    frame = reconstruction_metrics(originals, reconstructed, networks)
    with atomic_path(table) as temporary:
        frame.to_csv(temporary, index=False)
    first = range(min(PICTURE_IMAGES, len(originals)))
    save_picture(picture, contact_sheet([to_model(one.tensor(first)) for one in (originals, reconstructed)]))
    facts = {
        "kind": "reconstruction",
        "method": autoencoder_family(job.autoencoder.family).method,
        **traits(job.autoencoder),
        "count": len(originals),
        "metrics": reconstruction_summary(frame),
        "code_bits": archive_code_bits(model, originals, job.micro_batch)._asdict(),
        "protocol": reconstruction_protocol(originals, networks),
    }
    write_json(summary, facts)


if __name__ == "__main__":
    run_stage(reconstruct)
