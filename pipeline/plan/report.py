"""The job of the run's page: everything that the run made for people to look at."""

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.fields import Section
from pipeline.families import generator_family
from pipeline.page.captions import CAPTIONS
from pipeline.page.job import SAMPLES
from pipeline.plan.jobs import Job, closure
from pipeline.plan.stages import STAGES

if TYPE_CHECKING:
    from pipeline.plan.run import Plan

TEMPLATES = Path(__file__).parents[1] / "page" / "templates"
SUMMARIES = ("reconstruct", "score_features")

Named = tuple[str, Job, str]


def report_job(plan: "Plan") -> Job:
    """The page: its inputs by name, and what it says of the run."""
    targets = [*plan.tables.values(), *plan.figures.values(), *plan.sample_sets]
    order = list(STAGES)
    jobs = sorted(closure(targets), key=lambda job: (order.index(job.stage), job.name))
    samples = shown_samples(plan)
    inputs = [*_results(plan), *_pictures(plan, samples), *_histories(plan, jobs), *_facts(jobs)]
    settings: dict[str, Any] = {
        "run": plan.config.run,
        "config": numerical_keys(plan),
        "models": models(plan),
        "samples": None if samples is None else {"name": samples, "count": plan.config.samples[samples].count},
        "figures": {name: job.settings["figure"] for name, job in plan.figures.items()},
        "jobs": [
            {"stage": job.stage, "name": job.name, "code": job.code, "seed": job.settings.get("seed")} for job in jobs
        ],
    }
    names = tuple(name for name, _, _ in inputs)
    return Job(
        "make_report",
        plan.config.run,
        settings,
        settings | {"names": sorted(set(names)), "page": page_digest()},
        inputs={"data": [job.path(file) for _, job, file in inputs]},
        names=names,
        upstream=tuple(dict.fromkeys([*targets, *(job for _, job, _ in inputs)])),
        accepted=plan.accepted,
    )


def shown_samples(plan: "Plan") -> str | None:
    """The sample set that the page shows: the figures' one."""
    tables = plan.config.tables_or_default
    return plan.config.figures.samples or next(iter([*tables.table5.rows, *tables.table6.rows]), None)


def _results(plan: "Plan") -> list[Named]:
    tables = [
        (f"{name}:{table}", job, file)
        for table, job in plan.tables.items()
        for name, file in (("table", "table.json"), ("latex", "table.tex"))
    ]
    return tables + [(f"figure:{name}", job, "figure.png") for name, job in plan.figures.items()]


def _pictures(plan: "Plan", samples: str | None) -> list[Named]:
    """Reconstructions of the models that Figure 6 compares, first samples, and their neighbours."""
    config, inputs = plan.config, []
    compared = config.figures.compared or config.tables_or_default.table2
    if compared:
        dataset = config.autoencoders[compared[0]].dataset
        inputs.append(("validation", plan.dataset(dataset), "validation.zip"))
        for name in compared:
            if config.autoencoders[name].dataset == dataset:
                job = plan.reconstruction(name)
                inputs += [(f"reconstructions:{name}", job, "reconstructions.zip")]
                inputs += [(f"per_image:{name}", job, "per_image.csv")]
    if samples is not None:
        job, shard = plan.samples(samples), config.samples[samples].shard
        inputs += [("samples", job, file) for file in job.files[: -(-SAMPLES // shard)]]
        if "fig09" in plan.figures:
            found = plan.neighbours(samples)
            inputs += [("neighbours", found, "neighbours.csv"), ("neighbours_summary", found, "summary.json")]
            inputs += [("train", plan.dataset(config.dataset_of(config.samples[samples])), "train.zip")]
    return inputs


def _histories(plan: "Plan", jobs: list[Job]) -> list[Named]:
    """One for each training, under the first of its names."""
    named: list[Named] = [
        (f"history:autoencoder {name}", plan.autoencoder(name), "autoencoder.history.csv")
        for name in plan.config.autoencoders
    ]
    named += [
        (f"history:diffusion {name}", plan.diffusion(name), "diffusion.history.csv") for name in plan.config.diffusions
    ]
    named += [
        (f"history:generator {name}", plan.generator(name), "generator.history.csv") for name in plan.config.generators
    ]
    planned = {(job.stage, job.digest) for job in jobs}
    once = {(job.stage, job.digest): (name, job, file) for name, job, file in reversed(named)}
    return [one for key, one in reversed(once.items()) if key in planned and one[1].is_training]


def _facts(jobs: list[Job]) -> list[Named]:
    """Manifests of the datasets, and the summaries that tell versions and networks."""
    manifests = [(f"manifest:{job.name}", job, "manifest.json") for job in jobs if job.stage == "prepare_dataset"]
    return manifests + [(f"summary:{job.name}", job, "summary.json") for job in jobs if job.stage in SUMMARIES]


def models(plan: "Plan") -> list[dict[str, str]]:
    """Models and sample sets in words."""
    config, rows = plan.config, []
    for name, model in config.autoencoders.items():
        facts = f"{model.family} {model.code_size} on {model.dataset}, {model.training.images:,} training images"
        rows.append({"kind": "autoencoder", "name": name, "facts": facts})
    for name, diffusion in config.diffusions.items():
        facts = f"on the codes of {diffusion.autoencoder}, {diffusion.training.steps:,} steps"
        rows.append({"kind": "diffusion", "name": name, "facts": facts})
    for name, generator in config.generators.items():
        on = generator.dataset or f"the codes of {generator.autoencoder}"
        facts = f"{generator_family(generator.family).method} on {on}, batches of {generator.training.batch}"
        rows.append({"kind": "generator", "name": name, "facts": facts})
    for name, samples in config.samples.items():
        facts = f"{samples.kind.replace('_', ' ')}, {samples.count:,} images"
        rows.append({"kind": "samples", "name": name, "facts": facts})
    return rows


def numerical_keys(plan: "Plan") -> dict[str, Any]:
    """The root seed, and the other keys that differ from their defaults and can change a number."""
    written = plan.config.model_dump(mode="json", exclude_defaults=True)
    kept = {key: _kept(value, getattr(plan.config, key)) for key, value in written.items()}
    return {"run": plan.config.run, "seed": plan.config.seed} | kept


def _kept(written: Any, part: Any) -> Any:
    if isinstance(part, Section):
        numerical = part.numerical()
        return {key: _kept(value, getattr(part, key)) for key, value in written.items() if key in numerical}
    if isinstance(part, dict):
        return {key: _kept(value, part[key]) for key, value in written.items()}
    return written


@cache
def page_digest() -> str:
    """The digest of what the page is made of beside code: templates, style, script, captions."""
    files = [*sorted(TEMPLATES.iterdir()), *sorted(CAPTIONS.glob("*.rst"))]
    text = "".join(file.name + file.read_text(encoding="utf-8") for file in files)
    return hashlib.sha256(text.encode()).hexdigest()
