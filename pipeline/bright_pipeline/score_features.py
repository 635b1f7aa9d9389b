"""Stage: the metrics of one image set against a reference set (Tables 5 and 6), from stored features."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import stage
from bright_pipeline.base.progress import logger
from bright_pipeline.evaluation.feature_files import read_features
from bright_pipeline.evaluation.summary import write_summary
from bright_pipeline.stages.evaluation import EvaluationJob


@stage
def score_features(
    job: EvaluationJob,
    generated: Annotated[list[Path], typer.Option(help="Features of the image set (npz), in order.")],
    reference: Annotated[list[Path], typer.Option(help="Features of the reference set (npz), in order.")],
    summary: Annotated[Path, typer.Option(help="Where metrics and protocol go (json).")],
) -> None:
    from bright_pipeline.evaluation.batches import metric_device
    from bright_pipeline.evaluation.metrics import feature_summary

    metric_device(job.cpu_threads)
    facts = feature_summary(job, read_features(generated), read_features(reference))
    logger.info("%s: %s", job.space, {name: round(value.number, 4) for name, value in facts.values.items()})
    write_summary(summary, facts)
