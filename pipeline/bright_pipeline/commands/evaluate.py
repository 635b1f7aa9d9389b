"""Command: score any image set against another: folders or zips, such as StyleGAN2's samples.

Every metric whose network is available, with its interval; the protocol goes into the summaries. A killed command
resumes when it is started again: stored features and metrics are not computed again.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from tabulate import tabulate

from bright_pipeline.engine.command import LogOption, read_settings, run_stage
from bright_pipeline.base.errors import InputError
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


def evaluate(
    generated: Annotated[Path, typer.Option(help="The images to score: a folder, or a zip of PNGs or JPEGs.")],
    reference: Annotated[Path, typer.Option(help="The images to score them against: a folder or a zip.")],
    method: Annotated[str, typer.Option(help="What made the images, such as StyleGAN2.")] = "",
    dataset: Annotated[str, typer.Option(help="The dataset that they imitate, such as ffhq256.")] = "",
    prepared: Annotated[str, typer.Option(help="How the reference images got their size.")] = "as they are",
    count: Annotated[int | None, typer.Option(help="Score the first so many images by name.", min=2)] = None,
    output: Annotated[Path, typer.Option(help="Where the summaries go.")] = Path("results/evaluations"),
    settings: Annotated[str, typer.Option(help="A config's section `evaluation`: JSON, or a file's path.")] = "{}",
    networks: Annotated[Path, typer.Option(help="The folder of the metric networks.")] = NETWORKS,
    log: LogOption = None,
) -> dict[str, Value]:
    """Score an image set against a reference set in every available network.

    Returns the metrics by name: numbers with their protocols and, where they have one, 95 % intervals.
    """
    log_to(log)
    evaluation = read_settings(Evaluation, settings)
    made, real = image_set(generated, count), image_set(reference, evaluation.reference_count)
    facts: dict[str, Any] = {"method": method or made.name, "reference": real.name, "prepared": prepared}
    facts |= {"count": made.count, "reference_count": real.count}
    here: list[str] = [name for name in evaluation.networks if available(name, networks) or fetchable(name)]
    missing = [missing_line(name, networks) for name in evaluation.networks if name not in here]
    if not here:
        raise InputError("; ".join(missing))
    jobs = Jobs(Config(run=RUN, datasets={}, autoencoders={}, evaluation=evaluation))
    values: dict[str, Value] = {}
    for space in (space for network in here for space in spaces_of(network, evaluation.precision_recall)):
        of_made, of_real = (jobs(set_features, images, space, networks) for images in (made, real))
        job = score(jobs, "images", "files", facts | {"sample_kind": "files"}, of_made, of_real)
        found = scored(job, [(of_made, made), (of_real, real)], evaluation)
        found = found.model_copy(update={"details": {"dataset": dataset or real.name}})
        write_summary(output / made.name / f"summary-{space}.json", found)
        values |= found.values
    print(f"{generated} ({made.count} images) against {reference} ({real.count} images)")
    rows = []  # a line for each metric, under the name of the tables' columns
    for quantity in GENERATION:
        if (value := values.get(quantity.compared)) is not None:
            number, *ends = (f"{one:.{quantity.decimals}f}" for one in (value.number, *(value.interval or ())))
            rows.append((quantity.label, number, " to ".join(ends)))
    print(tabulate(rows, ("metric", "value", "95% interval"), tablefmt="simple", disable_numparse=True))
    for line in missing:
        print(f"skipped: {line}")
    print(f"Summaries with their protocols: {output / made.name}")
    return values


def image_set(path: Path, count: int | None) -> ImageSet:
    """The first `count` images of a folder or a zip, all for None."""
    found = len(RawSequence(path))
    if count is not None and count > found:
        raise InputError(f"{path}: {found} images, not {count}")
    return ImageSet(path, count or found)


def scored(job: Job, sets: list[tuple[Job, ImageSet]], evaluation: Evaluation) -> Summary:
    """The summary of a score: from the store, or computed now from stored features and those that are missing."""
    from bright_pipeline.evaluation.feature_files import read_features, write_features
    from bright_pipeline.evaluation.features import extract
    from bright_pipeline.evaluation.metrics import feature_summary
    from bright_pipeline.models.metric_networks.fetching import fetch

    summary = Path(job.path("summary.json"))
    if summary.exists():
        return read_summary(summary)
    read = []
    for features, images in sets:
        weights = Path(path_of(*features.inputs["weights"]))
        for path, span in zip(map(Path, features.outputs), features.ranges, strict=True):
            if path.exists():
                continue
            if not weights.is_file():
                fetch(weights.stem, weights)
            device = metric_device(evaluation.cpu_threads)
            space, micro_batch = features.settings["space"], evaluation.micro_batch
            vectors = extract(RawSequence(images.path), space, weights, *span, micro_batch, device)
            images.check()
            write_features(path, vectors, span[0])
        read.append(read_features([Path(path) for path in features.outputs]))
    found = feature_summary(EvaluationJob.model_validate(job.settings), *read)
    write_summary(summary, found)
    return found


if __name__ == "__main__":
    run_stage(evaluate)
