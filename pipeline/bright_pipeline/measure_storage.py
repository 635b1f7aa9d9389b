"""Stage: what codes and shared weights store: bits of numbers, image files of equal quality, new images, parts."""

from math import isqrt
from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import stage
from bright_pipeline.data.archive import ImageArchive, content_digest
from bright_pipeline.evaluation.summary import Summary, Value, versions, write_summary
from bright_pipeline.families import autoencoder_family
from bright_pipeline.models.traits import hash_tables, traits
from bright_pipeline.stages.measurements import StorageStudy


@stage
def measure_storage(
    job: StorageStudy,
    images: Annotated[Path, typer.Option(help="The validation split, a zip of PNGs.")],
    training: Annotated[Path, typer.Option(help="The training split, a zip of PNGs.")],
    autoencoder: Annotated[Path, typer.Option(help="The trained autoencoder (safetensors).")],
    summary: Annotated[Path, typer.Option(help="Where the numbers go (json).")],
    lpips_alex: Annotated[Path | None, typer.Option(help="AlexNet's weights, for LPIPS.")] = None,
) -> None:
    from bright_pipeline.evaluation import stored
    from bright_pipeline.evaluation.codes import storage
    from bright_pipeline.evaluation.image_codecs import codec_bits
    from bright_pipeline.models.checkpoints import load_autoencoder
    from bright_pipeline.models.perceptual import LpipsDistance, PerceptualLoss
    from bright_pipeline.models.processor import use_cpu

    use_cpu(job.cpu_threads)
    archive, earlier, model = ImageArchive(images), ImageArchive(training), load_autoencoder(autoencoder)
    device, upsample = next(model.parameters()).device, model.settings.losses.perceptual.upsample
    lpips = None if lpips_alex is None else LpipsDistance("lpips_alex", lpips_alex).to(device)
    count = isqrt(min(job.images, len(archive), len(earlier))) ** 2  # in a square mosaic
    new, known = (split.tensor(range(count)).to(device) for split in (archive, earlier))
    quality, codes = stored.quality_with(lpips), stored.encode(model, new)
    measured = {
        "train": quality(known, stored.decode(model, stored.encode(model, known))),
        "new": quality(new, stored.decode(model, codes)),
    }
    numbers: dict[str, float] = {}
    if job.whole:
        loss = None if lpips_alex is None else PerceptualLoss("lpips_alex", lpips_alex, upsample).to(device)
        few, weights = slice(job.added), [name for name, _ in model.named_children() if name != "encoder"]
        parts = {"codes": [], "weights": weights} | ({"tables": ["tables"]} if hash_tables(model.settings) else {})
        measured["encoded"] = quality(new[few], stored.decode(model, codes[few]))
        for name, tuned in parts.items():
            measured[name] = stored.tuned(model, new[few], known[few], tuned, job.steps, loss, quality)
        known_codes = stored.encode(model, earlier.tensor(range(min(job.known, len(earlier)))).to(device))
        numbers |= stored.bits_of_numbers(model, new, codes, known_codes, quality) | stored.exchanged(model, codes)
        equal = {metric: numbers[f"{metric}_coded"] for metric in measured["new"]}
        numbers |= codec_bits(new.cpu(), quality, equal)
        numbers["shared_megabits"] = storage(model, codes.cpu())["decoding"] / 4 * 16 / 1e6
    numbers |= {f"{metric}_{name}": number for name, found in measured.items() for metric, number in found.items()}
    protocol = {"count": count, "images_sha256": content_digest(archive), "versions": versions("torch", "pillow")}
    protocol |= job.model_dump(include={"known", "added", "steps"})
    facts = Summary(
        kind="stored",
        traits={"method": autoencoder_family(job.autoencoder.family).method} | traits(job.autoencoder),
        values={f"stored.{name}": Value(number=number, protocol=protocol) for name, number in numbers.items()},
    )
    write_summary(summary, facts)
