"""Stage: encode the training split to codes, and count the hits of table entries (section 3.4, Fig. 5b)."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import stage
from bright_pipeline.data.archive import ImageArchive
from bright_pipeline.engine.atomic import write_json
from bright_pipeline.stages.measurements import Encoding


@stage
def dump_codes(
    job: Encoding,
    images: Annotated[Path, typer.Option(help="The training split, a zip of PNGs.")],
    autoencoder: Annotated[Path, typer.Option(help="The trained autoencoder (safetensors).")],
    codes: Annotated[Path, typer.Option(help="Where the key codes go (safetensors).")],
    hits: Annotated[Path, typer.Option(help="Where the hits per entry go (npz).")],
    statistics: Annotated[Path, typer.Option(help="Where ranges, variances and hit shares go (json).")],
) -> None:
    from bright_pipeline.evaluation.codes import code_statistics, count_hits, encode_archive, usage, write_hits
    from bright_pipeline.models.checkpoints import load_autoencoder, write_codes
    from bright_pipeline.models.processor import use_cpu

    use_cpu(job.cpu_threads)
    model = load_autoencoder(autoencoder)
    key_codes = encode_archive(model, ImageArchive(images), job.micro_batch)
    counted, reachable = count_hits(model, key_codes, job.micro_batch)
    write_hits(hits, counted, reachable)
    write_json(statistics, {"codes": code_statistics(key_codes), "hits": usage(counted.numpy(), reachable.numpy())})
    write_codes(codes, key_codes)
