"""Stage: the content of key codes and hash tables as pictures: interpolation, resolutions, groups."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bright_pipeline.engine.command import stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.parsing import read_json
from bright_pipeline.data.archive import ArchiveWriter, ImageArchive, to_model, to_uint8
from bright_pipeline.engine.atomic import write_json
from bright_pipeline.models.traits import hash_tables
from bright_pipeline.stages.measurements import Exploration


@stage
def explore_codes(
    job: Exploration,
    images: Annotated[Path, typer.Option(help="The validation split, a zip of PNGs.")],
    autoencoder: Annotated[Path, typer.Option(help="The trained autoencoder (safetensors).")],
    interpolations: Annotated[Path, typer.Option(help="Where images between two others go (a zip of PNGs).")],
    by_resolutions: Annotated[Path, typer.Option(help="Where images from the first k resolutions go (a zip of PNGs).")],
    by_groups: Annotated[Path, typer.Option(help="Where images without one group go (a zip of PNGs).")],
    columns: Annotated[Path, typer.Option(help="Where the captions of the columns go (json).")],
    explorer: Annotated[Path, typer.Option(help="Where the decoder and the codes of the key explorer go (json).")],
    diffusion: Annotated[Path | None, typer.Option(help="The diffusion model of the samples' codes.")] = None,
    decoder: Annotated[Path | None, typer.Option(help="The autoencoder that decodes the samples.")] = None,
    statistics: Annotated[Path | None, typer.Option(help="The ranges of the training codes (json).")] = None,
) -> None:
    import torch

    from bright_pipeline.evaluation.codes import code_statistics
    from bright_pipeline.generation.exploration import groups, interpolation, resolutions
    from bright_pipeline.generation.explorer import explorer_facts, without_explorer
    from bright_pipeline.models.checkpoints import load_autoencoder
    from bright_pipeline.models.processor import use_cpu

    use_cpu(job.cpu_threads)
    archive = ImageArchive(images)
    if not (rows := min(job.rows, len(archive) // 2)):
        raise InputError(f"{images}: has one image; interpolation needs two")
    model = load_autoencoder(autoencoder)
    if hash_tables(model.settings) is None:
        raise InputError(f"{autoencoder}: a model without hash tables; explore a model that has them")
    device = next(model.parameters()).device
    codes = model.encode(to_model(archive.tensor(range(2 * rows)).to(device)))
    sheets = {
        interpolations: interpolation(model, codes[0::2], codes[1::2], job.steps),
        by_resolutions: resolutions(model, codes[:rows]),
        by_groups: groups(model, codes[:rows]),
    }
    for path, sheet in sheets.items():
        with ArchiveWriter(path, archive.channels) as writer:
            writer.add_batch(torch.stack([to_uint8(images).cpu() for _, images in sheet], dim=1).flatten(0, 1))
    facts: dict[str, Any] = {}
    decoding = model if decoder is None else load_autoencoder(decoder)
    if job.codes and (reason := without_explorer(decoding)):
        facts = {"left_out": reason}
    elif job.codes:
        samples: list[torch.Tensor] = []
        if diffusion is not None:
            from bright_pipeline.models.diffusion import load_diffusion

            samples = [load_diffusion(diffusion).sample(list(range(job.codes)), job.seed, job.sampler)]
        encoded = model.encode(to_model(archive.tensor(range(min(job.codes, len(archive)))).to(device)))
        counted = code_statistics(encoded) if statistics is None else read_json(statistics, str(statistics))["codes"]
        facts = explorer_facts(decoding, counted["channels"], encoded, samples)
    write_json(explorer, facts)
    write_json(columns, {path.stem: [caption for caption, _ in sheet] for path, sheet in sheets.items()})
