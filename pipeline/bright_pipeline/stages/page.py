"""The page of a run: all results for readers, in one HTML file."""

import hashlib
from pathlib import Path
from typing import Any

from pydantic import Field

from bright_pipeline.engine.jobs import Job, Output, Stage, closure, planned
from bright_pipeline.families import generator_family
from bright_pipeline.settings.fields import Section, added
from bright_pipeline.settings.figures import FIGURES
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import dataset
from bright_pipeline.stages.evaluation import neighbours
from bright_pipeline.stages.figures import Data, compared_models, figures, pairs, shown_samples
from bright_pipeline.stages.generation import diffusion, exploration, explorer_models, generator, samples
from bright_pipeline.stages.measurements import reconstruction
from bright_pipeline.stages.tables import tables

SAMPLES = 480  # the page has at most this many images of a sample set
TEMPLATES = Path(__file__).parents[1] / "page" / "templates"


class ModelRow(Section):
    """A model or a sample set of the run."""

    kind: str = Field(description="Such as autoencoder.")
    name: str = Field(description="Its name in the config.")
    entry: str = Field(description="Its config entry, such as autoencoders.main.")
    facts: str = Field(description="A short description.")


class JobRow(Section):
    stage: str
    name: str = Field(description="Its folder in the store: label and digest.")
    code: str = Field(description="The digest of the code that can change its numbers.")
    seed: int | None = None


class PageSamples(Section):
    name: str
    count: int = Field(ge=1, description="Number of images in the whole set.")


class ReportJob(Section):
    run: str = Field(description="The run's name.")
    config: dict[str, Any] = Field({}, description="Keys that differ from their defaults and can change a number.")
    models: list[ModelRow] = Field([], description="Models and sample sets, in the config's order.")
    samples: PageSamples | None = Field(None, description="The sample set shown.")
    figures: dict[str, dict[str, str]] = Field({}, description="Title and caption of each figure, by its name.")
    jobs: list[JobRow] = Field([], description="All jobs behind the page.")
    accepted: dict[str, str] = added({}, "Results that `bright accept` accepted, and what they may differ in.")


MAKE_REPORT = Stage(
    "make_report",
    "reports",
    ReportJob,
    {"output": "report.html"},
    local=True,
    shown=lambda jobs: [jobs(page)],
    targets=lambda jobs: {"page": [jobs(page)], "headline": headline(jobs)},
    copies=lambda jobs: {"report.html": jobs(page)["report.html"]} | histories(jobs),
    message="Writing the page of",
)


def headline(jobs: Jobs) -> list[Job]:
    """The first autoencoder of Table 2, Table 5 and the nearest neighbours."""
    by_name = jobs(tables) | jobs(figures)
    first = [jobs(reconstruction, name) for name in jobs.config.tables_or_default.table2[:1]]
    return first + [by_name[name] for name in ("table5", "fig09") if name in by_name]


def histories(jobs: Jobs) -> dict[str, Output]:
    """The histories of the trainings behind this run's results."""
    return {f"histories/{kind}-{name}.csv": job[f"{kind}.history.csv"] for kind, name, job in jobs(planned_trainings)}


def planned_trainings(jobs: Jobs) -> list[tuple[str, str, Job]]:
    """The trainings behind this run's results: kind of model, name, job."""
    return [training for training in jobs(trainings) if training[2].key in jobs(planned)]


def page(jobs: Jobs) -> Job:
    """The job of the page: its inputs by name, and the facts about the run."""
    order = list(jobs.stages)
    results = [job for name, stage in jobs.stages.items() if name != MAKE_REPORT.name for job in stage.shown(jobs)]
    behind = sorted(closure(results), key=lambda job: (order.index(job.stage.name), job.label, job.digest))
    chosen = shown_samples(jobs)
    shown: Data = []
    for name, job in jobs(tables).items():
        shown += [(f"table:{name}", job["table.json"]), (f"latex:{name}", job["table.tex"])]
    for name, job in jobs(figures).items():
        shown += [(f"figure:{name}", job["figure.png"]), (f"dark:{name}", job["figure-dark.png"])]
    if compared := compared_models(jobs):
        compared_pairs = pairs(jobs, compared)
        shown += compared_pairs
        reconstructed = [(name, file.job) for name, file in compared_pairs if name != "validation"]
        shown += [(f"per_image:{name.partition(':')[2]}", job["per_image.csv"]) for name, job in reconstructed]
    main = jobs.config.figures.autoencoder or next(iter(jobs.config.tables_or_default.table2), None)
    if main is not None and "groups" in jobs(figures):  # a figure of the same exploration
        decoder, _ = explorer_models(jobs, main, chosen)
        shown.append((f"explorer:{decoder}", jobs(exploration, main, chosen)["explorer.json"]))
    if chosen is not None:
        sample_set, wanted = jobs(samples, chosen), jobs.config.samples[chosen]
        shown += [("samples", sample_set[file]) for file in sample_set.files[: -(-SAMPLES // wanted.shard)]]
        if "fig09" in jobs(figures):
            nearest, data = jobs(neighbours, chosen), jobs(dataset, jobs.config.dataset_of(wanted))
            shown += [("neighbours", nearest["neighbours.csv"]), ("neighbours_summary", nearest["summary.json"])]
            shown.append(("train", data["train.zip"]))
    # One history for each training of the first training seed, under the first of its names.
    planned, histories = {job.key for job in behind}, dict[tuple[str, str], tuple[str, Output]]()
    for kind, name, job in jobs(trainings):
        if job.key in planned and job.jobs is jobs:
            histories.setdefault(job.key, (f"history:{kind} {name}", job[f"{kind}.history.csv"]))
    shown += histories.values()
    shown += [named for job in behind for named in job.stage.page(job).items()]
    written = jobs.config.model_dump(mode="json", exclude_defaults=True)
    kept = {key: _without_operational(value, getattr(jobs.config, key)) for key, value in written.items()}
    settings: dict[str, Any] = {
        "run": jobs.config.run,
        "config": {"run": jobs.config.run, "seed": jobs.config.seed} | kept,
        "models": models(jobs),
        "samples": None if chosen is None else {"name": chosen, "count": jobs.config.samples[chosen].count},
        "figures": {name: {"title": FIGURES[name].title, "caption": FIGURES[name].caption} for name in jobs(figures)},
        "jobs": [
            {"stage": job.stage.name, "name": job.name, "code": job.identity["code"], "seed": job.settings.get("seed")}
            for job in behind
        ],
        "accepted": {
            f"{job.stage.name} {job.digest}": ", ".join(["code", *job.accepted.keys]) for job in behind if job.accepted
        },
    }
    templates = "".join(file.name + file.read_text(encoding="utf-8") for file in sorted(TEMPLATES.iterdir()))
    return jobs.job(
        MAKE_REPORT,
        f"run.{jobs.config.run}",
        settings,
        # A folder is found by its digest, so the readable part of its name does not change the page.
        ReportJob.model_validate(settings).numerical() | {"jobs": [job.digest for job in behind]},
        inputs={"data": [file for _, file in shown]},
        facts={"page": hashlib.sha256(templates.encode()).hexdigest(), "shown": SAMPLES},
        names=tuple(name for name, _ in shown),
        label=jobs.config.run,
    )


def trainings(jobs: Jobs) -> list[tuple[str, str, Job]]:
    """The config's trainings: kind of model, name (with the suffix of a further training seed), job."""
    return [
        (make.__name__, f"{name}{of_seed.suffix}", job)
        for _, of_seed in jobs.every_seed
        for make in (autoencoder, diffusion, generator)
        for name in getattr(of_seed.config, f"{make.__name__}s")
        if (job := of_seed(make, name)).is_training
    ]


def models(jobs: Jobs) -> list[dict[str, str]]:
    config = jobs.config
    facts: dict[tuple[str, str], str] = {}
    for name, model in config.autoencoders.items():
        trained = f"{model.training.images:,} training images"
        description = f"{model.family} {model.code_size} on {model.dataset}, {trained}"
        facts["autoencoder", name] = f"{model.label}: {description}" if model.label else description
    for name, denoiser in config.diffusions.items():
        facts["diffusion", name] = f"on the codes of {denoiser.autoencoder}, {denoiser.training.steps:,} steps"
    for name, entry in config.generators.items():
        data = entry.dataset or f"the codes of {entry.autoencoder}"
        method = generator_family(entry.family).method
        facts["generator", name] = f"{method} on {data}, batches of {entry.training.batch}"
    for name, images in config.samples.items():
        facts["samples", name] = f"{images.kind.replace('_', ' ')}, {images.count:,} images"
    return [
        {"kind": kind, "name": name, "entry": f"{kind.removesuffix('s')}s.{name}", "facts": words}
        for (kind, name), words in facts.items()
    ]


def _without_operational(written: Any, part: Any) -> Any:
    """The written values without operational keys, at every depth."""
    if isinstance(part, Section):
        operational = part.operational()
        kept = {key: value for key, value in written.items() if key not in operational}
        return {key: _without_operational(value, getattr(part, key)) for key, value in kept.items()}
    if isinstance(part, dict):
        return {key: _without_operational(value, part[key]) for key, value in written.items()}
    return written
