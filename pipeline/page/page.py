"""The page: everything gathered, then one template with its style and script inside."""

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
from pipeline.page.costs import gather_costs, read_trainings
from pipeline.page.gallery import Pairs, Samples, gather_pairs, gather_samples
from pipeline.page.headline import key_numbers, main_result, read_ratio
from pipeline.page.page_table import PageTable, read_table
from pipeline.page.pictures import FIGURES_BYTES, PAIRS_BYTES, SAMPLES_BYTES, Figure, figure_picture
from pipeline.page.provenance import gather_provenance, read_dataset
from pipeline.stages.page import ReportJob

CURVES = "curves"
EQUAL_BUDGET = "equal_budget"
WITHIN_WORD = re.compile(r"(?<=[a-z]{3})(?=[A-Z])|(?<=[a-z]\.)(?=\w)")
SUMMARY_INPUTS = ("summary", "neighbours_summary")


def render(job: ReportJob, inputs: Inputs, records: Path) -> str:
    """The page's HTML; InputError where an input is not what its stage writes."""
    tables, figures = gather_tables(inputs), gather_figures(inputs)
    pairs, samples = find_pairs(inputs), find_samples(job, inputs)
    ratio = None
    if "neighbours_summary" in inputs:
        ratio = read_ratio(paths_of(inputs, "neighbours_summary")[0])
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
    """Keys of a config as one writes them there."""
    return yaml.safe_dump(keys, sort_keys=False, allow_unicode=True)


def entry_keys(config: dict[str, Any], entry: str) -> dict[str, Any]:
    """The part of a config that an entry such as `autoencoders.main` is, under its own keys."""
    section, _, name = entry.partition(".")
    return {section: {name: config.get(section, {}).get(name, {})}}


def template() -> Any:
    """The page's template with what it needs to know of Python."""
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
    """A text whose long words may break where a capital letter follows a small one, or behind a full stop."""
    return Markup("<wbr>").join(WITHIN_WORD.split(heading))


def source_digest(script: str) -> str:
    """What a Content-Security-Policy calls a script by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _single(inputs: Inputs, name: str) -> dict[str, Path]:
    """Label -> path of the inputs `name:LABEL=path`; {} where there are none."""
    if not any(key.partition(":")[0] == name for key in inputs):
        return {}
    return {label: paths[0] for label, paths in labelled_paths(inputs, name).items()}


def gather_tables(inputs: Inputs) -> dict[str, PageTable]:
    """The tables by name, in the order given."""
    latex = _single(inputs, "latex")
    return {name: read_table(name, path, latex[name]) for name, path in _single(inputs, "table").items()}


def gather_figures(inputs: Inputs) -> dict[str, Figure]:
    """The figures by name, the paper's first, each within its part of the page's size."""
    pictures = _single(inputs, "figure")
    limit = FIGURES_BYTES // max(1, len(pictures))
    names = sorted(pictures, key=lambda name: (not name.startswith("fig"), name))
    return {name: figure_picture(pictures[name], limit) for name in names}


def find_pairs(inputs: Inputs) -> Pairs | None:
    """Reconstructions beside their originals, where the run has them."""
    reconstructions = _single(inputs, "reconstructions")
    if not reconstructions:
        return None
    (validation,) = paths_of(inputs, "validation")
    return gather_pairs(validation, reconstructions, _single(inputs, "per_image"), PAIRS_BYTES)


def find_samples(job: ReportJob, inputs: Inputs) -> Samples | None:
    """Samples beside their neighbours, where the run has them."""
    if job.samples is None:
        return None
    near, train = (paths_of(inputs, name)[0] if name in inputs else None for name in ("neighbours", "train"))
    return gather_samples(paths_of(inputs, "samples"), near, train, SAMPLES_BYTES)


def viewer_data(pairs: Pairs | None, samples: Samples | None) -> dict[str, Any]:
    """What the script needs beside the page's own images."""
    data: dict[str, Any] = {"reconstructions": {}, "words": {}, "neighbours": [], "train": {}}
    if pairs is not None:
        others = list(pairs.reconstructions)[1:]  # the first model's are in the page itself
        data["reconstructions"] = {name: pairs.reconstructions[name] for name in others}
        data["words"] = {name: pairs.words[name] for name in others}
    if samples is not None:
        near = [[[name, f"{lpips:.4f}"] for name, lpips in one.neighbours] for one in samples.shown]
        data |= {"neighbours": near, "train": samples.train}
    return data
