"""The page of a run: gather its parts and render one template, which contains style and script."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from bright_pipeline.base.parsing import read_json
from bright_pipeline.data.prepare import outcome
from bright_pipeline.engine.checksums import result_libraries
from bright_pipeline.engine.records import State, read_record
from bright_pipeline.evaluation.summary import read_summary
from bright_pipeline.figures.common import Inputs, paths_of
from bright_pipeline.figures.curves import NOT_LOSSES, read_history
from bright_pipeline.models.metric_networks.manifest import is_unchecked, manifest
from bright_pipeline.page.arrangement import arranged, parts
from bright_pipeline.page.comparison import differences, headline
from bright_pipeline.page.gallery import FIGURES_BYTES, figure_picture, gather_pairs, gather_samples
from bright_pipeline.page.template import template
from bright_pipeline.stages.page import JobRow, ReportJob
from bright_pipeline.tables.display_table import read_display

CURVES = "curves"
EQUAL_BUDGET = "equal_budget"
SUMMARY_INPUTS = ("summary", "neighbours_summary")


def render(job: ReportJob, inputs: Inputs, records: Path) -> str:
    """The page's HTML; InputError if an input has the wrong format."""
    latex = _single(inputs, "latex")
    tables = {name: read_display(path, name, latex[name]) for name, path in _single(inputs, "table").items()}
    pictures, dark = _single(inputs, "figure"), _single(inputs, "dark")
    in_order = sorted(pictures, key=lambda name: (not name.startswith("fig"), name))  # the paper's first
    limit = FIGURES_BYTES // max(1, len(pictures) + len(dark))
    figures = {name: figure_picture(pictures[name], limit, dark.get(name)) for name in in_order}
    pairs, samples = None, None
    if reconstructions := _single(inputs, "reconstructions"):
        (validation,) = paths_of(inputs, "validation")
        pairs = gather_pairs(validation, reconstructions, _single(inputs, "per_image"))
    if job.samples is not None:
        given = (paths_of(inputs, name)[0] if name in inputs else None for name in ("neighbours", "train"))
        samples = gather_samples(paths_of(inputs, "samples"), *given)
    neighbours = paths_of(inputs, "neighbours_summary")[0] if "neighbours_summary" in inputs else None
    result, numbers = headline(tables, neighbours)
    shown = arranged(tables)
    trainings = [last_line(name, path) for name, path in _single(inputs, "history").items()]
    summaries = [path for name in SUMMARY_INPUTS for path in _single(inputs, name).values()]
    results = dict.fromkeys(path.parent for paths in inputs.values() for path in paths)
    # The data of the page's script, besides the images in the page: the first model's reconstructions are among those.
    viewer: dict[str, Any] = {"reconstructions": {}, "words": {}, "neighbours": [], "train": {}}
    if pairs is not None:
        others = list(pairs.reconstructions)[1:]
        viewer["reconstructions"] = {name: pairs.reconstructions[name] for name in others}
        viewer["words"] = {name: pairs.words[name] for name in others}
    if samples is not None:
        near = [[[name, f"{lpips:.4f}"] for name, lpips in nearest] for nearest in samples.neighbours]
        viewer |= {"neighbours": near, "train": samples.train}
    manifests = {name: read_json(path, f"manifest {path}") for name, path in _single(inputs, "manifest").items()}
    explorer = [{"model": name} | read_json(path, str(path)) for name, path in _single(inputs, "explorer").items()]
    as_yaml = partial(yaml.safe_dump, sort_keys=False, allow_unicode=True)
    split_entries = [(model.entry, model.entry.partition(".")) for model in job.models]
    return template("page.html.j2", parts=parts).render(
        job=job,
        config=as_yaml(job.config),
        entries={
            entry: as_yaml({section: {name: job.config.get(section, {}).get(name, {})}})
            for entry, (section, _, name) in split_entries
        },
        datasets=[facts | {"name": name, "outcome": outcome(facts)} for name, facts in manifests.items()],
        result=result,
        differences=differences(tables[EQUAL_BUDGET]) if EQUAL_BUDGET in tables else ({}, ""),
        numbers=numbers,
        tables=shown,
        missing=list(dict.fromkeys(note.removeprefix("missing: ") for table in shown for note in table.missing)),
        pairs=pairs,
        explorer=next(iter(explorer), None),
        samples=samples,
        figures={name: picture for name, picture in figures.items() if not name.startswith(CURVES)},
        curves={name: picture for name, picture in figures.items() if name.startswith(CURVES)},
        viewer=viewer,
        trainings=trainings,
        costs=gather_costs(job.jobs, records, trainings),
        provenance=gather_provenance(summaries, results),
    )


def _single(inputs: Inputs, name: str) -> dict[str, Path]:
    """Label -> path of the inputs `name:LABEL=path`; {} where there are none."""
    return {key.partition(":")[2]: paths_of(inputs, key)[0] for key in inputs if key.partition(":")[0] == name}


def last_line(name: str, history: Path) -> dict[str, Any]:
    """The last line of a training's history: steps, images, seconds, and losses by name."""
    last = read_history(history).iloc[-1]
    losses = last.drop([*NOT_LOSSES]).dropna().astype(float).to_dict()
    counts = {"steps": int(last["step"]), "images": int(last["images"]), "seconds": float(last["seconds"])}
    return {"name": name, "losses": losses} | counts


def gather_costs(jobs: Iterable[JobRow], records: Path, trainings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cost of each stage with records here (pulled results have none), the most expensive first.

    Sums of elapsed and of CPU seconds, and the largest memory in bytes; None where histories alone are known.
    """
    by_stage: dict[str, list[JobRow]] = {}
    for job in jobs:
        by_stage.setdefault(job.stage, []).append(job)
    costs = list[dict[str, Any]]()
    for stage, rows in by_stage.items():
        cost = {"stage": stage, "jobs": len(rows), "cpu_seconds": None, "memory": None}
        kind = stage.removeprefix("train_")
        times = [training["seconds"] for training in trainings if training["name"].startswith(f"{kind} ")]
        if times:  # a history has the seconds of every attempt
            costs.append(cost | {"recorded": len(times), "seconds": sum(times)})
            continue
        finished, recorded = [], 0
        for job in rows:  # a job has one record, or one for each shard
            attempts = map(read_record, sorted(records.glob(f"{stage}-{job.name}*.json")))
            done = [record for record in attempts if record.get("state") == State.DONE and "cpu_seconds" in record]
            finished += done
            recorded += bool(done)
        if finished:
            sums = {key: sum(record[key] for record in finished) for key in ("seconds", "cpu_seconds")}
            memory = max(record["peak_mb"] for record in finished) * 2**20
            costs.append(cost | sums | {"recorded": recorded, "memory": memory})
    return sorted(costs, key=lambda cost: -cost["seconds"])


def gather_provenance(summaries: list[Path], results: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """The versions and networks of all summaries, and the versions recorded in the folders of results."""
    by_library: dict[str, dict[str, list[str]]] = {}  # library -> version -> names of results
    networks: dict[str, str] = {}  # network -> sha256
    libraries = [(folder.name, versions) for folder in results for versions in result_libraries(folder)]
    for path in summaries:
        protocol = read_summary(path).protocol
        libraries.append((path.parent.name, protocol.get("versions", {})))
        for key, sha256 in protocol.items():
            network = protocol["network"] if key == "network_sha256" else key.removesuffix("_sha256")
            if key == "network_sha256" or network in manifest():
                networks[network] = f"{sha256} (hash not checked)" if is_unchecked(network) else sha256
    for result, versions in libraries:
        for library, version in versions.items():
            names = by_library.setdefault(library, {}).setdefault(version, [])
            names += [result] * (result not in names)
    return {"versions": by_library, "networks": networks}
