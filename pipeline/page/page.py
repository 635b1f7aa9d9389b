"""The page of a run: gather its parts and render one template, which contains style and script."""

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.base.amounts import readable_bytes, readable_duration
from pipeline.figures.inputs import Inputs, labelled_paths, paths_of
from pipeline.page.comparison import comparison
from pipeline.page.gallery import FIGURES_BYTES, Figure, Pairs, Samples, figure_picture, gather_pairs, gather_samples
from pipeline.page.headline import key_numbers, main_result, read_ratio
from pipeline.page.page_table import read_table
from pipeline.page.run_facts import gather_costs, gather_provenance, read_dataset, read_trainings
from pipeline.stages.page import ReportJob

CURVES = "curves"
EQUAL_BUDGET = "equal_budget"
WITHIN_WORD = re.compile(r"(?<=[a-z]{3})(?=[A-Z])|(?<=[a-z]\.)(?=\w)")
SUMMARY_INPUTS = ("summary", "neighbours_summary")


def render(job: ReportJob, inputs: Inputs, records: Path) -> str:
    """The page's HTML; InputError for an input that its stage did not write."""
    latex = _single(inputs, "latex")
    tables = {name: read_table(name, path, latex[name]) for name, path in _single(inputs, "table").items()}
    figures, pairs, samples = gather_figures(_single(inputs, "figure")), None, None
    if reconstructions := _single(inputs, "reconstructions"):
        (validation,) = paths_of(inputs, "validation")
        pairs = gather_pairs(validation, reconstructions, _single(inputs, "per_image"))
    if job.samples is not None:
        near, train = (paths_of(inputs, name)[0] if name in inputs else None for name in ("neighbours", "train"))
        samples = gather_samples(paths_of(inputs, "samples"), near, train)
    ratio = read_ratio(paths_of(inputs, "neighbours_summary")[0]) if "neighbours_summary" in inputs else None
    histories = _single(inputs, "history")
    trainings = read_trainings(histories)
    by_stage = {
        f"train_{kind}": [one for one in trainings if one.name.startswith(f"{kind} ")]
        for kind in dict.fromkeys(name.partition(" ")[0] for name in histories)
    }
    summaries = [path for name in SUMMARY_INPUTS for path in _single(inputs, name).values()]
    results = dict.fromkeys(path.parent for paths in inputs.values() for path in paths)
    return template().render(
        job=job,
        config=as_yaml(job.config),
        entries={model.entry: as_yaml(entry_keys(job.config, model.entry)) for model in job.models},
        datasets=[read_dataset(name, path) for name, path in _single(inputs, "manifest").items()],
        result=main_result(tables, ratio),
        comparison=comparison(tables[EQUAL_BUDGET]) if EQUAL_BUDGET in tables else "",
        numbers=key_numbers(tables, ratio),
        tables=list(tables.values()),
        pairs=pairs,
        samples=samples,
        figures={name: picture for name, picture in figures.items() if not name.startswith(CURVES)},
        curves={name: picture for name, picture in figures.items() if name.startswith(CURVES)},
        viewer=viewer_data(pairs, samples),
        trainings=trainings,
        costs=gather_costs(job.jobs, records, by_stage),
        provenance=gather_provenance(summaries, results),
    )


def as_yaml(keys: dict[str, Any]) -> str:
    """Keys of a config as YAML."""
    return yaml.safe_dump(keys, sort_keys=False, allow_unicode=True)


def entry_keys(config: dict[str, Any], entry: str) -> dict[str, Any]:
    """An entry of a config, such as `autoencoders.main`, under its keys."""
    section, _, name = entry.partition(".")
    return {section: {name: config.get(section, {}).get(name, {})}}


def template() -> Any:
    """The page's template with its filters."""
    environment = Environment(
        loader=PackageLoader("pipeline.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "bytes": readable_bytes,
        "duration": readable_duration,
        "grouped": lambda number: f"{number:,}",
        "sha256": source_digest,
        "breakable": breakable,
    }
    environment.filters |= filters
    return environment.get_template("page.html.j2")


def breakable(heading: str) -> Markup:
    """A text whose long words may break between a small and a capital letter, or behind a full stop."""
    return Markup("<wbr>").join(WITHIN_WORD.split(heading))


def source_digest(script: str) -> str:
    """The source expression of a script in a Content-Security-Policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _single(inputs: Inputs, name: str) -> dict[str, Path]:
    """Label -> path of the inputs `name:LABEL=path`; {} where there are none."""
    if not any(key.partition(":")[0] == name for key in inputs):
        return {}
    return {label: paths[0] for label, paths in labelled_paths(inputs, name).items()}


def gather_figures(pictures: dict[str, Path]) -> dict[str, Figure]:
    """The figures by name, the paper's first, each within its share of FIGURES_BYTES."""
    limit = FIGURES_BYTES // max(1, len(pictures))
    names = sorted(pictures, key=lambda name: (not name.startswith("fig"), name))
    return {name: figure_picture(pictures[name], limit) for name in names}


def viewer_data(pairs: Pairs | None, samples: Samples | None) -> dict[str, Any]:
    """The data of the page's script, besides the images in the page."""
    data: dict[str, Any] = {"reconstructions": {}, "words": {}, "neighbours": [], "train": {}}
    if pairs is not None:
        others = list(pairs.reconstructions)[1:]  # the first model's are in the page itself
        data["reconstructions"] = {name: pairs.reconstructions[name] for name in others}
        data["words"] = {name: pairs.words[name] for name in others}
    if samples is not None:
        near = [[[name, f"{lpips:.4f}"] for name, lpips in one.neighbours] for one in samples.shown]
        data |= {"neighbours": near, "train": samples.train}
    return data
