"""The summary of an image set in one feature space: its metrics, their intervals and their protocol."""

from typing import Any

from pipeline.evaluation.feature_files import FeatureSet
from pipeline.evaluation.metrics import generation_metrics, metric_settings
from pipeline.evaluation.protocol import check_job, generation_protocol
from pipeline.stages.evaluation import EvaluationJob


def feature_summary(job: EvaluationJob, generated: FeatureSet, reference: FeatureSet) -> dict[str, Any]:
    """What `summary.json` has of the first `job.count` generated images against the reference images."""
    generated = generated.first(job.count)
    check_job(job, generated, reference)
    only = None if job.kind == "generation" else ("frechet_distance",)
    scores = generation_metrics(generated, reference, job.memory_gb, only)
    facts = {
        "kind": job.kind,
        "sample_kind": job.sample_kind,
        "method": job.method,
        "network": generated.facts["network"],
        "space": job.space,
        "metrics": scores.metrics,
        "intervals": {metric: {"low": low, "high": high} for metric, (low, high) in scores.intervals.items()},
        "protocol": generation_protocol(job, generated, reference, metric_settings(job.space, only)),
    }
    return facts if job.code_size is None else facts | {"code_size": job.code_size}
