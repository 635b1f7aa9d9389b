"""Stage: the nearest training images of generated images by LPIPS (Fig. 9), and the check for copies."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.atomic import atomic_path, write_json
from pipeline.base.command import run_stage, stage
from pipeline.base.progress import logger
from pipeline.data.archive import ImageArchive
from pipeline.evaluation.batches import metric_device
from pipeline.evaluation.neighbours import (
    LpipsEmbedding,
    distance_quantiles,
    memorisation,
    nearest,
    neighbours_picture,
    neighbours_table,
    share_nearer,
)
from pipeline.evaluation.protocol import neighbours_protocol
from pipeline.stages.evaluation import NeighboursJob

PICTURE_ROWS = 8


@stage
def nearest_neighbours(
    job: NeighboursJob,
    generated: Annotated[list[Path], typer.Option(help="A zip of PNGs; several are one set, in order.")],
    train: Annotated[Path, typer.Option(help="The training split, a zip of PNGs.")],
    validation: Annotated[Path, typer.Option(help="The validation split, a zip of PNGs.")],
    weights: Annotated[Path, typer.Option(help="AlexNet's weights, for LPIPS.")],
    table: Annotated[Path, typer.Option(help="Where neighbours and distances go (csv).")],
    summary: Annotated[Path, typer.Option(help="Where the medians go (json).")],
    figure: Annotated[Path, typer.Option(help="Where the picture goes (png).")],
) -> None:
    embedding = LpipsEmbedding(weights).to(metric_device(job.cpu_threads))
    made, seen, unseen = ImageArchive(generated), ImageArchive(train), ImageArchive(validation)
    found = {}
    for name, queries, count in (
        ("generated", made, job.count),
        ("validation", unseen, job.validation_count or len(unseen)),
    ):
        found[name] = nearest(embedding, queries, count, seen, job.neighbours, job.micro_batch, job.memory_gb)
    names = {"generated": made.names, "validation": unseen.names}
    frame = neighbours_table({name: (names[name], one) for name, one in found.items()}, seen.names)
    with atomic_path(table) as temporary:
        frame.to_csv(temporary, index=False)
    with atomic_path(figure) as temporary:
        neighbours_picture(made, seen, found["generated"], PICTURE_ROWS).save(temporary)
    medians = memorisation(found["generated"], found["validation"])
    logger.info("median LPIPS to the nearest training image, over validation images': %s", medians)
    facts = {
        "kind": "neighbours",
        "method": job.method,
        **medians,
        "share_nearer": share_nearer(found["generated"], found["validation"]),
        "quantiles": {name: distance_quantiles(one) for name, one in found.items()},
        "count": job.count,
        "validation_count": len(found["validation"].indices),
        "train_count": len(seen),
        "neighbours": job.neighbours,
        "protocol": neighbours_protocol(job, seen, weights),
    }
    write_json(summary, facts)


if __name__ == "__main__":
    run_stage(nearest_neighbours)
