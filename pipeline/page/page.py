"""The page of a run: gather its parts and render one template, which contains style and script."""

import base64
import hashlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.base.amounts import readable_bytes, readable_duration
from pipeline.figures.inputs import Inputs, paths_of
from pipeline.page.comparison import comparison
from pipeline.page.gallery import FIGURES_BYTES, figure_picture, gather_pairs, gather_samples
from pipeline.page.headline import headline, read_ratio
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
    pictures = _single(inputs, "figure")
    in_order = sorted(pictures, key=lambda name: (not name.startswith("fig"), name))  # the paper's first
    limit = FIGURES_BYTES // max(1, len(pictures))
    figures = {name: figure_picture(pictures[name], limit) for name in in_order}
    pairs, samples = None, None
    if reconstructions := _single(inputs, "reconstructions"):
        (validation,) = paths_of(inputs, "validation")
        pairs = gather_pairs(validation, reconstructions, _single(inputs, "per_image"))
    if job.samples is not None:
        given = (paths_of(inputs, name)[0] if name in inputs else None for name in ("neighbours", "train"))
        samples = gather_samples(paths_of(inputs, "samples"), *given)
    ratio = read_ratio(paths_of(inputs, "neighbours_summary")[0]) if "neighbours_summary" in inputs else None
    result, numbers = headline(tables, ratio)
    trainings = read_trainings(_single(inputs, "history"))
    summaries = [path for name in SUMMARY_INPUTS for path in _single(inputs, name).values()]
    results = dict.fromkeys(path.parent for paths in inputs.values() for path in paths)
    # The data of the page's script, besides the images in the page: the first model's reconstructions are among those.
    viewer: dict[str, Any] = {"reconstructions": {}, "words": {}, "neighbours": [], "train": {}}
    if pairs is not None:
        others = list(pairs.reconstructions)[1:]
        viewer["reconstructions"] = {name: pairs.reconstructions[name] for name in others}
        viewer["words"] = {name: pairs.words[name] for name in others}
    if samples is not None:
        near = [[[name, f"{lpips:.4f}"] for name, lpips in one.neighbours] for one in samples.shown]
        viewer |= {"neighbours": near, "train": samples.train}
    as_yaml = partial(yaml.safe_dump, sort_keys=False, allow_unicode=True)
    places = {model.entry: (model.entry.partition(".")[0], model.entry.partition(".")[2]) for model in job.models}
    return template().render(
        job=job,
        config=as_yaml(job.config),
        entries={
            entry: as_yaml({section: {name: job.config.get(section, {}).get(name, {})}})
            for entry, (section, name) in places.items()
        },
        datasets=[read_dataset(name, path) for name, path in _single(inputs, "manifest").items()],
        result=result,
        comparison=comparison(tables[EQUAL_BUDGET]) if EQUAL_BUDGET in tables else "",
        numbers=numbers,
        tables=list(tables.values()),
        pairs=pairs,
        samples=samples,
        figures={name: picture for name, picture in figures.items() if not name.startswith(CURVES)},
        curves={name: picture for name, picture in figures.items() if name.startswith(CURVES)},
        viewer=viewer,
        trainings=trainings,
        costs=gather_costs(job.jobs, records, trainings),
        provenance=gather_provenance(summaries, results),
    )


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
        # The source expression of a script in a Content-Security-Policy.
        "sha256": lambda script: f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        # Long words may break between a small and a capital letter, or behind a full stop.
        "breakable": lambda heading: Markup("<wbr>").join(WITHIN_WORD.split(heading)),
    }
    environment.filters |= filters
    return environment.get_template("page.html.j2")


def _single(inputs: Inputs, name: str) -> dict[str, Path]:
    """Label -> path of the inputs `name:LABEL=path`; {} where there are none."""
    return {key.partition(":")[2]: paths_of(inputs, key)[0] for key in inputs if key.partition(":")[0] == name}
