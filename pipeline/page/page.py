"""The page: everything gathered, then one template with its style and script inside."""

import base64
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.base.amounts import readable_bytes, readable_duration
from pipeline.figures.inputs import Inputs, labelled_paths, paths_of
from pipeline.page.costs import gather_costs, read_trainings
from pipeline.page.gallery import Pairs, Samples, gather_pairs, gather_samples
from pipeline.page.headline import key_numbers, main_result
from pipeline.page.pictures import FIGURES_BYTES, PAIRS_BYTES, SAMPLES_BYTES, Figure, figure_picture
from pipeline.page.provenance import gather_provenance, read_dataset
from pipeline.page.shown_tables import ShownTable, is_measured, read_table
from pipeline.stages.page import ReportJob

CURVES = "curves"
SUMMARY_INPUTS = ("summary", "neighbours_summary")


@dataclass(frozen=True)
class NamedFigure:
    """A figure with its title and caption."""

    name: str
    title: str
    caption: str
    picture: Figure


@dataclass(frozen=True)
class Gallery:
    """Images to look at closely, where the run has them."""

    pairs: Pairs | None = None
    samples: Samples | None = None
    figures: list[NamedFigure] = field(default_factory=list)


def render(job: ReportJob, inputs: Inputs, records: Path) -> str:
    """The page's HTML; InputError where an input is not what its stage writes."""
    tables = gather_tables(inputs)
    neighbours = paths_of(inputs, "neighbours_summary")[0] if "neighbours_summary" in inputs else None
    gallery = gather_gallery(job, inputs)
    histories = _single(inputs, "history")
    trainings = read_trainings(histories)
    by_stage = {
        f"train_{kind}": [one for one in trainings if one.name.startswith(f"{kind} ")]
        for kind in dict.fromkeys(name.partition(" ")[0] for name in histories)
    }
    summaries = [path for name in SUMMARY_INPUTS for path in _single(inputs, name).values()]
    return template().render(
        job=job,
        config=yaml.safe_dump(job.config, sort_keys=False, allow_unicode=True),
        datasets=[read_dataset(name, path) for name, path in _single(inputs, "manifest").items()],
        result=main_result(tables, neighbours),
        numbers=key_numbers(tables, neighbours),
        tables=list(tables.values()),
        gallery=gallery,
        figures=[one for one in gallery.figures if not one.name.startswith(CURVES)],
        curves=[one for one in gallery.figures if one.name.startswith(CURVES)],
        viewer=viewer_data(gallery),
        trainings=trainings,
        costs=gather_costs(job.jobs, records, by_stage),
        provenance=gather_provenance(summaries),
    )


def template() -> Any:
    """The page's template with what it needs to know of Python."""
    environment = Environment(
        loader=PackageLoader("pipeline.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bytes": readable_bytes,
        "duration": readable_duration,
        "grouped": lambda number: f"{number:,}",
        "sha256": source_digest,
    }
    environment.tests["measured"] = is_measured
    return environment.get_template("page.html.j2")


def source_digest(script: str) -> str:
    """What a Content-Security-Policy calls a script by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _single(inputs: Inputs, name: str) -> dict[str, Path]:
    """Label -> path of the inputs `name:LABEL=path`; {} where there are none."""
    if not any(key.partition(":")[0] == name for key in inputs):
        return {}
    return {label: paths[0] for label, paths in labelled_paths(inputs, name).items()}


def gather_tables(inputs: Inputs) -> dict[str, ShownTable]:
    """The tables by name, in the order given."""
    latex = _single(inputs, "latex")
    return {name: read_table(name, path, latex[name]) for name, path in _single(inputs, "table").items()}


def gather_gallery(job: ReportJob, inputs: Inputs) -> Gallery:
    """Figures, pairs and samples, each within its part of the page's size."""
    pictures = _single(inputs, "figure")
    limit = FIGURES_BYTES // max(1, len(pictures))
    figures = [
        NamedFigure(name, job.figures[name].title, job.figures[name].caption, figure_picture(path, limit))
        for name, path in sorted(pictures.items(), key=lambda one: (not one[0].startswith("fig"), one[0]))
    ]
    pairs = samples = None
    if reconstructions := _single(inputs, "reconstructions"):
        (validation,) = paths_of(inputs, "validation")
        pairs = gather_pairs(validation, reconstructions, _single(inputs, "per_image"), PAIRS_BYTES)
    if job.samples is not None:
        near, train = (paths_of(inputs, name)[0] if name in inputs else None for name in ("neighbours", "train"))
        samples = gather_samples(paths_of(inputs, "samples"), near, train, SAMPLES_BYTES)
    return Gallery(pairs, samples, figures)


def viewer_data(gallery: Gallery) -> dict[str, Any]:
    """What the script needs beside the page's own images."""
    data: dict[str, Any] = {"reconstructions": {}, "words": {}, "neighbours": [], "train": {}}
    if gallery.pairs is not None:
        others = list(gallery.pairs.reconstructions)[1:]  # the first model's are in the page itself
        data["reconstructions"] = {name: gallery.pairs.reconstructions[name] for name in others}
        data["words"] = {name: gallery.pairs.words[name] for name in others}
    if gallery.samples is not None:
        near = [[[name, f"{lpips:.4f}"] for name, lpips in one.neighbours] for one in gallery.samples.shown]
        data |= {"neighbours": near, "train": gallery.samples.train}
    return data
