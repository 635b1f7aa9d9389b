"""Stage: reconstruct the validation split and measure it image by image (appendix B)."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import stage
from bright_pipeline.base.progress import Progress
from bright_pipeline.data.archive import ArchiveWriter, ImageArchive, joined_digest, pixel_digest, to_model, to_uint8
from bright_pipeline.engine.atomic import atomic_path
from bright_pipeline.evaluation.summary import Summary, Value, write_summary
from bright_pipeline.families import autoencoder_family
from bright_pipeline.models.traits import traits
from bright_pipeline.stages.measurements import Reconstruction

PICTURE_IMAGES = 12


@stage
def reconstruct(
    job: Reconstruction,
    images: Annotated[Path, typer.Option(help="The validation split, a zip of PNGs.")],
    autoencoder: Annotated[Path, typer.Option(help="The trained autoencoder (safetensors).")],
    reconstructions: Annotated[Path, typer.Option(help="Where the reconstructions go (a zip of PNGs).")],
    table: Annotated[Path, typer.Option(help="Where the per-image metrics go (csv).")],
    summary: Annotated[Path, typer.Option(help="Where their means and deviations go (json).")],
    picture: Annotated[Path, typer.Option(help="Where the side-by-side picture goes (png).")],
    lpips_alex: Annotated[Path | None, typer.Option(help="AlexNet's weights, for LPIPS.")] = None,
    lpips_vgg: Annotated[Path | None, typer.Option(help="VGG16's weights, for LPIPS-VGG.")] = None,
) -> None:
    import pandas as pd
    import torch

    from bright_pipeline.data.pictures import contact_sheet, save_picture
    from bright_pipeline.evaluation import reconstruction as measures
    from bright_pipeline.models.autoencoder import pad
    from bright_pipeline.models.checkpoints import load_autoencoder, pick_device
    from bright_pipeline.models.processor import use_cpu
    from bright_pipeline.training.batches import StepRandom

    use_cpu(job.cpu_threads)
    device = pick_device()
    originals, model = ImageArchive(images), load_autoencoder(autoencoder, device)
    given = {"lpips_alex": lpips_alex, "lpips_vgg": lpips_vgg}
    networks = {name: path for name, path in given.items() if path is not None}
    distances = {name: metric(networks).to(device) for name, metric in measures.network_metrics(networks).items()}
    digests, moments, measured, noisy_metrics, shown = [], [], [], [], []
    with (
        torch.no_grad(),
        model.frozen(),
        ArchiveWriter(reconstructions, originals.channels) as archive,
        Progress("reconstruct", len(originals), "images") as progress,
    ):
        for first in range(0, len(originals), job.micro_batch):
            pixels = originals.tensor(range(first, min(first + job.micro_batch, len(originals))))
            digests += [pixel_digest(image) for image in pixels.permute(0, 2, 3, 1).numpy()]
            # The networks see full batches only, so that batching changes no bit; the surplus images are dropped.
            real = pixels.to(device)
            batch = pad(to_model(real), job.micro_batch)
            decoded = to_uint8(model.decode(model.encode(batch)))[: len(real)]
            moments.append(model.code_moments(batch, len(real)))
            archive.add_batch(decoded.cpu(), first)
            for pair in zip(real.split(measures.MICRO_BATCH), decoded.split(measures.MICRO_BATCH), strict=True):
                measured.append(pd.DataFrame(measures.image_metrics(*pair, distances)))
            if job.authors_protocol:
                noisy = model.reconstruct_noisy(batch, StepRandom(job.noise_seed, first, len(batch), device))
                pair = batch[: len(real)], noisy[: len(real)]
                noisy_metrics.append(pd.DataFrame(measures.authors_metrics(*pair, distances.get("lpips_alex"))))
            if first < PICTURE_IMAGES:
                shown.append((pixels, decoded.cpu()))
            progress.advance(len(real))
    frame = pd.concat(measured, ignore_index=True)
    if noisy_metrics:
        frame = frame.join(pd.concat(noisy_metrics, ignore_index=True))
    frame = frame.astype(float)
    frame.insert(0, "image", originals.names)
    with atomic_path(table) as temporary:
        frame.to_csv(temporary, index=False)
    rows = [to_model(torch.cat(side)[:PICTURE_IMAGES]) for side in zip(*shown, strict=True)]
    save_picture(picture, contact_sheet(rows))
    method, bits = autoencoder_family(job.autoencoder.family).method, model.code_bits(moments)
    protocols = measures.reconstruction_protocols(originals, joined_digest(digests), networks)
    values = measures.reconstruction_values(frame, protocols)
    facts = Summary(
        kind="reconstruction",
        traits={"method": method, **traits(job.autoencoder), "resolution": originals.resolution},
        values=values | {"code_bits": Value(number=bits.per_image)},
        details={"code_bits_counted_by": bits.counted_by, "exact_images": int(frame["psnr"].eq(float("inf")).sum())},
    )
    write_summary(summary, facts)
