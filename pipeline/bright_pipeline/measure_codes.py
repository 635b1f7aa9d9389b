"""Stage: the properties of codes in section 3.4, measured on any autoencoder: usage, range, variance, noise, bytes."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import stage
from bright_pipeline.data.archive import ImageArchive, content_digest
from bright_pipeline.data.arrays import arrays
from bright_pipeline.evaluation.summary import Summary, Value, write_summary
from bright_pipeline.families import autoencoder_family
from bright_pipeline.models.traits import hash_tables, traits
from bright_pipeline.stages.measurements import CodeMeasurement


@stage
def measure_codes(
    job: CodeMeasurement,
    images: Annotated[Path, typer.Option(help="The validation split, a zip of PNGs.")],
    autoencoder: Annotated[Path, typer.Option(help="The trained autoencoder (safetensors).")],
    codes: Annotated[Path, typer.Option(help="The codes of the training split (safetensors).")],
    hits: Annotated[Path, typer.Option(help="The hits per entry of those codes (npz).")],
    summary: Annotated[Path, typer.Option(help="Where the numbers go (json).")],
    lpips_alex: Annotated[Path | None, typer.Option(help="AlexNet's weights, for LPIPS.")] = None,
) -> None:
    from bright_pipeline.evaluation import codes as measures
    from bright_pipeline.evaluation.code_noise import half_cell, noise_curve, noise_numbers, noise_sizes
    from bright_pipeline.evaluation.reconstruction import reconstruction_protocols
    from bright_pipeline.models.checkpoints import load_autoencoder, read_codes
    from bright_pipeline.models.processor import use_cpu

    use_cpu(job.cpu_threads)
    model, dumped, originals = load_autoencoder(autoencoder), read_codes(codes), ImageArchive(images)
    statistics, deviations = measures.code_statistics(dumped), measures.principal_deviations(dumped)
    sizes = noise_sizes(statistics["variance"] ** 0.5, half_cell(job.autoencoder))
    curve = noise_curve(model, originals, job.images, sizes, job.seed, job.micro_batch, lpips_alex)
    with arrays(hits, "hits", "`bright_pipeline.dump_codes`") as counted:
        used = measures.usage(counted["hits"], counted["reachable"])
    tables = hash_tables(job.autoencoder)
    networks = {} if lpips_alex is None else {"lpips_alex": lpips_alex}
    protocols = reconstruction_protocols(originals, content_digest(originals), networks)
    protocol = {
        **protocols["psnr"],
        **protocols["lpips_alex"],
        "count": min(job.images, len(originals)),
        "codes": len(dumped),
        "noise": "uniform within ± size, on the codes before tiling, within their bounds",
        "seed": job.seed,
    }
    numbers = measures.code_numbers(statistics, used, measures.storage(model, dumped)) | noise_numbers(curve)
    numbers |= measures.spectrum_numbers(deviations)
    spectrum = {"deviations": deviations, "empty_below": measures.FILLED}
    method = {"method": autoencoder_family(job.autoencoder.family).method}
    facts = Summary(
        kind="codes",
        traits=method | traits(job.autoencoder) | ({"table_entries": f"2^{tables.entries_log2}"} if tables else {}),
        values={f"codes.{key}": Value(number=number, protocol=protocol) for key, number in numbers.items()},
        details={"usage": used, "codes": statistics, "noise": curve, "spectrum": spectrum},
    )
    write_summary(summary, facts)
