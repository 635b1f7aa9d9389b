"""Stage: the metrics of one image set against a reference set (Tables 5 and 6), from stored features."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.atomic import write_json
from pipeline.config.evaluation_jobs import EvaluationJob
from pipeline.evaluation.batches import metric_device
from pipeline.evaluation.feature_files import read_features
from pipeline.evaluation.metrics import generation_metrics, metric_settings
from pipeline.evaluation.protocol import check_job, generation_protocol
from pipeline.progress import log_to, logger
from pipeline.stage import LogOption, SettingsArgument, read_settings, run_stage


def score_features(
    settings: SettingsArgument,
    generated: Annotated[list[Path], typer.Option(help="Features of the image set (npz), in order.")],
    reference: Annotated[list[Path], typer.Option(help="Features of the reference set (npz), in order.")],
    summary: Annotated[Path, typer.Option(help="Where metrics and protocol go (json).")],
    log: LogOption = None,
) -> None:
    """Score an image set against a reference set in one feature space."""
    log_to(log)
    job = read_settings(EvaluationJob, settings)
    metric_device(job.cpu_threads)
    of_generated, of_reference = read_features(generated).first(job.count), read_features(reference)
    check_job(job, of_generated, of_reference)
    only = None if job.kind == "generation" else ("frechet_distance",)
    scores = generation_metrics(of_generated, of_reference, job.memory_gb, only)
    logger.info("%s on %s: %s", job.samples, job.space, {key: round(x, 4) for key, x in scores.metrics.items()})
    facts = {
        "kind": job.kind,
        "samples": job.samples,
        "sample_kind": job.sample_kind,
        "dataset": job.dataset,
        "method": job.method,
        "network": of_generated.facts["network"],
        "space": job.space,
        "metrics": scores.metrics,
        "intervals": {metric: {"low": low, "high": high} for metric, (low, high) in scores.intervals.items()},
        "protocol": generation_protocol(job, of_generated, of_reference, metric_settings(job.space, only)),
    }
    if job.code_size is not None:
        facts["code_size"] = job.code_size
    write_json(summary, facts)


if __name__ == "__main__":
    run_stage(score_features)
