"""Command: score any image set against another: folders or zips, such as StyleGAN2's samples.

Computes every metric whose network is available, with its interval, and stores the protocol in the summaries. A killed
command resumes when it is started again: stored features and metrics are not computed again.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from tabulate import tabulate

from bright_pipeline.engine.command import LogOption, read_settings
from bright_pipeline.base.errors import InputError, naming_extras
from bright_pipeline.base.paths import NETWORKS
from bright_pipeline.base.progress import log_to
from bright_pipeline.config.root import Config
from bright_pipeline.data.sources import RawSequence
from bright_pipeline.engine.jobs import Job, path_of
from bright_pipeline.evaluation.batches import metric_device
from bright_pipeline.evaluation.summary import Summary, Value, read_summary, write_summary
from bright_pipeline.models.metric_networks.manifest import available, fetchable, missing_line
from bright_pipeline.settings.evaluation import Evaluation
from bright_pipeline.settings.quantities import GENERATION
from bright_pipeline.settings.spaces import spaces_of
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.evaluation import EvaluationJob, ImageSet, score, set_features

RUN = "image-sets"


@naming_extras()
def evaluate(
    generated: Annotated[Path, typer.Option(help="The images to score: a folder, or a zip of PNGs or JPEGs.")],
    reference: Annotated[Path, typer.Option(help="The images to score them against: a folder or a zip.")],
    method: Annotated[str, typer.Option(help="The method that generated the images, such as StyleGAN2.")] = "",
    dataset: Annotated[str, typer.Option(help="The dataset that they imitate, such as ffhq256.")] = "",
    prepared: Annotated[str, typer.Option(help="How the reference images got their size.")] = "as they are",
    count: Annotated[int | None, typer.Option(help="Score only the first COUNT images by name.", min=2)] = None,
    output: Annotated[Path, typer.Option(help="The folder for the summaries.")] = Path("results/evaluations"),
    settings: Annotated[str, typer.Option(help="A config's section `evaluation`: JSON, or a file's path.")] = "{}",
    networks: Annotated[Path, typer.Option(help="The folder of the metric networks.")] = NETWORKS,
    log: LogOption = None,
) -> dict[str, Value]:
    """Score an image set against a reference set in every available network; return the metrics by name."""
    log_to(log)
    evaluation = read_settings(Evaluation, settings)
    scored_images, real = image_set(generated, count), image_set(reference, evaluation.reference_count)
    facts: dict[str, Any] = {"method": method or scored_images.name, "reference": real.name, "prepared": prepared}
    facts |= {"count": scored_images.count, "reference_count": real.count}
    here: list[str] = [name for name in evaluation.networks if available(name, networks) or fetchable(name)]
    missing = [missing_line(name, networks) for name in evaluation.networks if name not in here]
    if not here:
        raise InputError("; ".join(missing))
    jobs = Jobs(Config(run=RUN, datasets={}, autoencoders={}, evaluation=evaluation))
    values: dict[str, Value] = {}
    for space in (space for network in here for space in spaces_of(network, evaluation.precision_recall)):
        features, real_features = (jobs(set_features, images, space, networks) for images in (scored_images, real))
        job = score(jobs, "images", "files", facts | {"sample_kind": "files"}, features, real_features)
        summary = scored(job, [(features, scored_images), (real_features, real)], evaluation)
        summary = summary.model_copy(update={"details": {"dataset": dataset or real.name}})
        write_summary(output / scored_images.name / f"summary-{space}.json", summary)
        values |= summary.values
    print(f"{generated} ({scored_images.count} images) against {reference} ({real.count} images)")
    rows = []  # a line for each metric, under the name of the tables' columns
    for quantity in GENERATION:
        if (value := values.get(quantity.compared)) is not None:
            number, *ends = (f"{end:.{quantity.decimals}f}" for end in (value.number, *(value.interval or ())))
            rows.append((quantity.label, number, " to ".join(ends)))
    print(tabulate(rows, ("metric", "value", "95% interval"), tablefmt="simple", disable_numparse=True))
    for line in missing:
        print(f"skipped: {line}")
    print(f"Summaries with their protocols: {output / scored_images.name}")
    return values


def image_set(path: Path, count: int | None) -> ImageSet:
    """The first `count` images of a folder or a zip, all for None."""
    total = len(RawSequence(path))
    if count is not None and count > total:
        raise InputError(f"{path}: {total} images, not {count}")
    return ImageSet(path, count or total)


def scored(job: Job, sets: list[tuple[Job, ImageSet]], evaluation: Evaluation) -> Summary:
    """The summary of a score: read from the store, or computed now; missing features are extracted first."""
    from bright_pipeline.evaluation.feature_files import read_features, write_features
    from bright_pipeline.evaluation.features import extract
    from bright_pipeline.evaluation.metrics import feature_summary
    from bright_pipeline.models.metric_networks.fetching import fetch

    path = Path(job.path("summary.json"))
    if path.exists():
        return read_summary(path)
    read = []
    for features, images in sets:
        weights = Path(path_of(*features.inputs["weights"]))
        for output, span in zip(map(Path, features.outputs), features.ranges, strict=True):
            if output.exists():
                continue
            if not weights.is_file():
                fetch(weights.stem, weights)
            device = metric_device(evaluation.cpu_threads)
            space, micro_batch = features.settings["space"], evaluation.micro_batch
            vectors = extract(RawSequence(images.path), space, weights, *span, micro_batch, device)
            images.check()
            write_features(output, vectors, span[0])
        read.append(read_features([Path(path) for path in features.outputs]))
    summary = feature_summary(EvaluationJob.model_validate(job.settings), *read)
    write_summary(path, summary)
    return summary
