"""Stage: the nearest training images of generated images by LPIPS (Fig. 9), and the check for copies."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import stage
from bright_pipeline.base.progress import logger
from bright_pipeline.data.archive import ImageArchive, content_digest
from bright_pipeline.engine.atomic import atomic_path
from bright_pipeline.evaluation.summary import Summary, Value, versions, write_summary
from bright_pipeline.models.metric_networks.files import read_network
from bright_pipeline.stages.evaluation import NeighboursJob

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
    from bright_pipeline.evaluation import neighbours
    from bright_pipeline.evaluation.batches import metric_device

    embedding = neighbours.LpipsEmbedding(weights).to(metric_device(job.cpu_threads))
    samples, seen, unseen = ImageArchive(generated), ImageArchive(train), ImageArchive(validation)
    sets = {"generated": (samples, job.count), "validation": (unseen, job.validation_count or len(unseen))}
    nearest = min(job.neighbours, len(seen))
    results = {
        name: neighbours.nearest(embedding, *some, seen, nearest, job.micro_batch, job.memory_gb)
        for name, some in sets.items()
    }
    rows = {name: (sets[name][0].names, result) for name, result in results.items()}
    frame = neighbours.neighbours_table(rows, seen.names)
    with atomic_path(table) as temporary:
        frame.to_csv(temporary, index=False)
    with atomic_path(figure) as temporary:
        neighbours.neighbours_picture(samples, seen, results["generated"], PICTURE_ROWS).save(temporary)
    numbers = neighbours.memorization(results["generated"], results["validation"])
    logger.info("LPIPS to the nearest training image: %s", numbers)
    protocol = {
        "count": job.count,
        "reference": "train",
        "reference_count": len(seen),
        "reference_sha256": content_digest(seen),
        "resize": "none",
        "resolution": seen.resolution,
        "network": "lpips_alex",
        "network_sha256": read_network("lpips_alex", weights, "numpy")[1],
        "lpips": "0.1, at the images' own resolution",
        "versions": versions("torch", "lpips"),
    }
    quantiles = {name: neighbours.distance_quantiles(result) for name, result in results.items()}
    facts = Summary(
        kind="neighbours",
        traits={"method": job.method},
        values={key: Value(number=number, protocol=protocol) for key, number in numbers.items()},
        details={"quantiles": quantiles, "validation_count": len(results["validation"].indices), "neighbours": nearest},
    )
    write_summary(summary, facts)
