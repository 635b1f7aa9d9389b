"""Figures from images, histories and summaries: the paper's, those beyond it, and the curves of trainings."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import Field

from pipeline.models.traits import hash_tables
from pipeline.settings.diffusion import DiffusionSamples, FilesSamples
from pipeline.settings.fields import Section, added
from pipeline.stages.autoencoders import (
    autoencoder,
    called,
    code_measurement,
    codes,
    decoding,
    exploration,
    reconstruction,
    timed_models,
)
from pipeline.stages.captions import CAPTIONS
from pipeline.stages.common import Inputs, Job, Jobs, Output, Stage
from pipeline.stages.datasets import dataset
from pipeline.stages.evaluation import neighbours
from pipeline.stages.generation import diffusion, model_of, samples
from pipeline.stages.studies import studies


class FigureJob(Section):
    """One figure of a run."""

    figure: str
    title: str = Field("", description="What stands above the figure.")
    columns: int | None = Field(
        None, ge=1, description="Images (or panels) beside each other; by default as the figure needs."
    )
    rows: int | None = Field(None, ge=1, description="Rows of images; by default as the figure needs.")
    models: dict[str, str] = added({}, {}, "What measurements of several models call those of the inputs' labels.")


MAKE_FIGURE = Stage(
    "make_figure",
    folder="figures",
    settings=FigureJob,
    outputs={"png": "figure.png", "pdf": "figure.pdf"},
    local=True,
    shown=lambda jobs: jobs(figures).values(),
)


@dataclass(frozen=True)
class Figure:
    """A figure: the function that draws it, its title and its caption (config/captions.yaml)."""

    draw: str
    """In `pipeline.figures`, as module:function."""
    title: str
    caption: str

    @property
    def module(self) -> str:
        """The module whose code can change the figure."""
        return f"pipeline.figures.{self.draw.partition(':')[0]}"


DRAWN_BY = {
    "fig01": "reconstructions:overview",
    "fig05b": "hits:hits_per_entry",
    "fig06": "reconstructions:reconstruction_pairs",
    "fig07": "samples:comparison",
    "fig08": "samples:comparison",
    "fig09": "neighbours:neighbours",
    "fig10": "samples:samples",
    "fig11": "neighbours:neighbours",
    "fig12": "samples:samples",
    "fig13": "neighbours:neighbours",
    "fig14": "samples:samples",
    "curves_autoencoders": "curves:curves",
    "curves_diffusion": "curves:curves",
    "interpolation": "exploration:sheet",
    "resolutions": "exploration:sheet",
    "groups": "exploration:sheet",
    "noise_robustness": "codes:noise_robustness",
    "code_range": "codes:code_range",
    "table_size": "codes:table_size",
    "rate_quality": "rates:rate_quality",
    "studies": "studies:studies",
}
FIGURES = {name: Figure(draw, **CAPTIONS["figures"][name]) for name, draw in DRAWN_BY.items()}


class Shown(NamedTuple):
    """An input of a figure by its name, `name` or `name:LABEL`."""

    name: str
    file: Output


def figures(jobs: Jobs) -> dict[str, Job]:
    """The job of each figure that this run has something to show for, by the figure's name."""
    tables = jobs.config.tables_or_default
    chosen = shown_samples(jobs)
    found = dict(_of_models(jobs, chosen))
    if chosen is not None:
        found |= _of_samples(jobs, chosen, "fig10", "fig09", "fig11")
    church = next(iter(tables.table6.rows), None)
    if church is not None and church != chosen:
        found |= _of_samples(jobs, church, "fig12", "fig13")
    found |= dict(_of_diffusions(jobs, [chosen, *tables.table5.rows, *tables.table6.rows]))
    for name, rows in (("fig07", tables.table6.rows), ("fig08", tables.table5.rows)):
        if rows:
            found[name] = _side_by_side(jobs, rows)
    if (other := next((row for row in tables.table6.rows if _is_other_ldm(jobs, row)), None)) is not None:
        found["fig14"] = _first_shard(jobs, other)
    found |= dict(_of_codes(jobs))
    if searched := jobs(studies):
        found["studies"] = [Shown(f"study:{job.settings['name']}", job["table.csv"]) for job in searched.values()]
    made = {name: figure(jobs, name, inputs) for name, inputs in found.items()}
    if compared := rated_models(jobs):
        models = {name: called(jobs.config, name) for name in compared}
        made["rate_quality"] = figure(jobs, "rate_quality", _rates(jobs, compared), models)
    return dict(sorted(made.items()))


def figure(jobs: Jobs, name: str, shown: list[Shown], models: dict[str, str] | None = None) -> Job:
    """The job that draws a figure; `models` as its settings have them."""
    names = tuple(one.name for one in shown)
    inputs: Inputs = {"data": [one.file for one in shown]}
    return jobs.job(
        MAKE_FIGURE,
        f"figures.{name}",
        {"figure": name, "models": models or {}},
        inputs=inputs,
        facts={"draw": FIGURES[name].draw},
        names=names,
        families=(FIGURES[name].module,),
    )


def shown_samples(jobs: Jobs) -> str | None:
    """The sample set that figures and page show."""
    tables = jobs.config.tables_or_default
    return jobs.config.figures.samples or next(iter([*tables.table5.rows, *tables.table6.rows]), None)


def compared_models(jobs: Jobs) -> list[str]:
    """The autoencoders that Figure 6 and the page compare."""
    return jobs.config.figures.compared or jobs.config.tables_or_default.table2


def rated_models(jobs: Jobs) -> list[str]:
    """The autoencoders whose quality is drawn against bits per image."""
    return jobs.config.figures.rate_quality or jobs.config.tables_or_default.equal_budget


def _rates(jobs: Jobs, models: list[str]) -> list[Shown]:
    """Reconstruction summaries of every training seed, and the speeds of all."""
    speeds = jobs(decoding, timed_models(jobs))["decoding.json"]
    of_seeds = [
        Shown(f"reconstruction:{name}", of_seed(reconstruction, name)["summary.json"])
        for name in models
        for _, of_seed in jobs.every_seed
    ]
    return [*of_seeds, Shown("decoding", speeds)]


def _of_models(jobs: Jobs, chosen: str | None) -> Iterator[tuple[str, list[Shown]]]:
    """Figures 1 and 6 and the curves; where codes are keys of hash tables, also 5b and beyond."""
    model = jobs.config.figures.autoencoder or next(iter(jobs.config.tables_or_default.table2), None)
    if model is not None and hash_tables(jobs.config.autoencoders[model]) is not None:
        explored = jobs(exploration, model)
        yield "fig05b", [Shown("hits", jobs(codes, model)["hits.npz"])]
        for name in ("interpolation", "resolutions", "groups"):
            yield name, [Shown("images", explored[f"{name}.zip"]), Shown("columns", explored["columns.json"])]
    if model is not None and chosen is not None:
        yield "fig01", [*pairs(jobs, [model], labelled=False), *_first_shard(jobs, chosen)]
    if compared := compared_models(jobs):
        yield "fig06", pairs(jobs, compared)
        trained = [(name, jobs(autoencoder, name)) for name in compared]
        curves = [Shown(f"history:{name}", job["autoencoder.history.csv"]) for name, job in trained if job.is_training]
        if curves:
            yield "curves_autoencoders", curves


def pairs(jobs: Jobs, models: list[str], labelled: bool = True) -> list[Shown]:
    """Validation images and their reconstructions; models on another dataset than the first's stay out."""
    data = jobs.config.autoencoders[models[0]].dataset
    same = [name for name in models if jobs.config.autoencoders[name].dataset == data]
    return [
        Shown("validation", jobs(dataset, data)["validation.zip"]),
        *(
            Shown(
                f"reconstructions:{name}" if labelled else "reconstructions",
                jobs(reconstruction, name)["reconstructions.zip"],
            )
            for name in same
        ),
    ]


def _first_shard(jobs: Jobs, name: str) -> list[Shown]:
    made = jobs(samples, name)
    return [Shown("samples", made[made.files[0]])]


def _of_samples(jobs: Jobs, name: str, sheet: str, *near: str) -> dict[str, list[Shown]]:
    """A sheet of uncurated samples, and their nearest training images."""
    train = jobs(dataset, jobs.config.dataset_of(jobs.config.samples[name]))["train.zip"]
    found = Shown("neighbours", jobs(neighbours, name)["neighbours.csv"])
    shard = _first_shard(jobs, name)
    return {sheet: shard} | {figure: [found, *shard, Shown("train", train)] for figure in near}


def _of_diffusions(jobs: Jobs, shown: list[str | None]) -> Iterator[tuple[str, list[Shown]]]:
    """Curves of the diffusion models behind these sample sets, each once."""
    sets = [jobs.config.samples[name] for name in shown if name is not None]
    names = dict.fromkeys(one.diffusion for one in sets if isinstance(one, DiffusionSamples))
    trained = [(name, jobs(diffusion, name)) for name in names]
    curves = [Shown(f"history:{name}", job["diffusion.history.csv"]) for name, job in trained if job.is_training]
    if curves:
        yield "curves_diffusion", curves


def _side_by_side(jobs: Jobs, rows: list[str]) -> list[Shown]:
    """The first shard of each sample set; sets that imitate another dataset than the first's stay out."""
    first = jobs.config.dataset_of(jobs.config.samples[rows[0]])
    same = [name for name in rows if jobs.config.dataset_of(jobs.config.samples[name]) == first]
    return [Shown(f"samples:{name}", _first_shard(jobs, name)[0].file) for name in same]


def _is_other_ldm(jobs: Jobs, name: str) -> bool:
    """Whether a sample set is of a latent diffusion model on codes that are not BRIGHT's (Figure 14)."""
    model, settings = model_of(jobs, name), jobs.config.samples[name]
    if isinstance(settings, FilesSamples):
        return settings.method.startswith("LDM")
    return settings.kind == "diffusion" and model is not None and jobs.config.autoencoders[model].family != "bright"


def _of_codes(jobs: Jobs) -> Iterator[tuple[str, list[Shown]]]:
    """What section 3.4 says of codes, and section 5 of bytes, for the rows of those tables."""
    tables = jobs.config.tables_or_default
    if tables.section34:
        measured = [Shown(f"codes:{name}", jobs(code_measurement, name)["summary.json"]) for name in tables.section34]
        yield from (("noise_robustness", measured), ("code_range", measured))
    if tables.table_sizes:
        yield (
            "table_size",
            [
                Shown(f"{what}:{name}", jobs(made, name)["summary.json"])
                for name in tables.table_sizes
                for what, made in (("codes", code_measurement), ("reconstruction", reconstruction))
            ],
        )
