"""results/RUN: copies of what a config's results are, under the names that people know.

A copy whose store folder is not here (a fresh clone of a shared run) stays, and is said to be of an earlier run. The
record of which result each copy is of, results/RUN/published.json, tells one from the other: clocks decide nothing.

The main numbers are in one file with a name that stays, results/RUN/metrics.json, which `dvc metrics show` and `diff`
read. Summaries lie in folders named by digests; it has their numbers by the names in the config:
reconstruction.NAME.METRIC, reconstruction_distance.NAME.SPACE.METRIC, generation.NAME.SPACE.COUNT.METRIC (COUNT: the
images scored) and neighbours.NAME.NUMBER. These are of the first training seed; those of a further one lie under
seeds.SEED. The trainings' histories are published beside it, for `dvc plots`.
"""

import json
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from pipeline.base.atomic import atomic_path, write_json
from pipeline.base.checksums import problem
from pipeline.base.errors import InputError
from pipeline.base.summary import Summary, read_summary
from pipeline.plan.damage import add_missing_checksums
from pipeline.plan.dvc import write_dvc_files
from pipeline.plan.identities import record_identity
from pipeline.plan.shards import planned
from pipeline.plan.view import folder, summary_place, view
from pipeline.stages.autoencoders import reconstruction
from pipeline.stages.common import Job, Jobs, Output
from pipeline.stages.evaluation import distance_spaces, evaluation, neighbours, reconstruction_distance, spaces
from pipeline.stages.tables import TABLES, rows_of

RECORD = "published.json"
NEIGHBOUR_NUMBERS = ("median_generated", "median_validation", "ratio")


@dataclass
class Published:
    """What lies in results/RUN after a run."""

    present: list[str] = field(default_factory=list)
    """Paths of this config's results."""
    earlier: list[str] = field(default_factory=list)
    """Paths of copies whose results are not here."""
    damaged: list[str] = field(default_factory=list)
    """A line for each result that is not what it was; its copy stays as it is."""


def publish(jobs: Jobs, origin: str) -> Published:
    """Copy what is ready into results/RUN, where it differs, and record what finished results were made from.

    Copies of results that this config no longer has go, where the store still keeps those. `origin`: the config file.
    """
    jobs.shelf.forget()
    found, record = Published(), folder(jobs) / RECORD
    known = published_copies(jobs)
    shown = {place: str(stored) for place, stored in known.items()}
    for place, output in jobs(view).items():
        if output.job.has(output.file) and (line := problem(Path(output.path), read="content")) is not None:
            found.damaged.append(line)
        elif output.job.has(output.file):
            _copy(Path(output.path), Path(place))
            found.present.append(place)
            shown[place] = output.path
        elif _is_of_another(place, output, known):
            found.earlier.append(place)
    for place in known.keys() - jobs(view).keys():
        if known[place].exists() or not Path(place).exists():
            Path(place).unlink(missing_ok=True)
            del shown[place]
        else:
            found.earlier.append(place)
    for job in jobs(planned).values():
        record_identity(job)
        add_missing_checksums(job)
    if found.present:
        _keep(record, shown)
        found.present += write_metrics(jobs, folder(jobs) / "metrics.json")
        found.present += write_dvc_files(jobs, origin)
    return found


def published_copies(jobs: Jobs) -> dict[str, Path]:
    """Place in results/RUN -> file of the store that it is a copy of, as the last publishing recorded it."""
    record = _read(folder(jobs) / RECORD) or {}
    return {place: Path(str(stored)) for place, stored in record.items()}


def is_earlier_copy(jobs: Jobs, place: str) -> bool:
    """Whether this file of results/RUN is a copy of another result than this config's, which is not here."""
    output = jobs(view)[place]
    return not output.job.has(output.file) and _is_of_another(place, output, published_copies(jobs))


def _is_of_another(place: str, output: Output, known: dict[str, Path]) -> bool:
    """Whether a copy is there that is, by the record (`known`), not one of this result."""
    return Path(place).exists() and known.get(place) != Path(output.path)


def _keep(path: Path, values: dict[str, Any]) -> None:
    if _read(path) != values:
        write_json(path, values)


def _read(path: Path) -> dict[str, Any] | None:
    """What a file says that publishing wrote, and writes again where it is not readable."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _copy(stored: Path, place: Path) -> None:
    content = stored.read_bytes()
    if not (place.exists() and place.read_bytes() == content):
        with atomic_path(place) as temporary:
            temporary.write_bytes(content)


def gather_metrics(jobs: Jobs) -> dict[str, Any]:
    """The numbers of all finished jobs of the plan, by what they are of."""
    seeds = {str(seed): found for seed, of_seed in jobs.other_seeds.items() if (found := _numbers(jobs, of_seed))}
    return _numbers(jobs, jobs) | ({"seeds": seeds} if seeds else {})


def _numbers(jobs: Jobs, of_seed: Jobs) -> dict[str, Any]:
    """Those of one training seed."""
    parts = {
        "reconstruction": _reconstruction(jobs, of_seed),
        "reconstruction_distance": _reconstruction_distance(jobs, of_seed),
        "generation": _generation(jobs, of_seed),
        "neighbours": _neighbours(jobs, of_seed),
    }
    return {key: part for key, part in parts.items() if part}


def write_metrics(jobs: Jobs, path: Path) -> list[str]:
    """Write the numbers where they differ from what is there; returns the path, nothing where there are none."""
    metrics = gather_metrics(jobs)
    if metrics:
        _keep(path, metrics)
    return [str(path)] if metrics else []


def _summary(jobs: Jobs, job: Job) -> Summary | None:
    """A job's summary, if the plan has the job and it is done, here or where its copy in results/RUN comes from.

    One that is damaged is none; its copy is what it was.
    """
    if job.key not in jobs(planned):
        return None
    places = (Path(job.path("summary.json")), folder(jobs) / summary_place(job))
    found = next((place for place in places if place.exists() and problem(place) is None), None)
    try:
        return None if found is None else read_summary(found)
    except InputError:
        return None


def _by_metric(summary: Summary) -> dict[str, float]:
    """The numbers of one feature space, by metric."""
    return {name.rpartition(".")[2]: number for name, number in summary.numbers.items()}


def _reconstruction(jobs: Jobs, of_seed: Jobs) -> dict[str, Any]:
    """Means over the validation images."""
    found = {name: _summary(jobs, of_seed(reconstruction, name)) for name in jobs.config.autoencoders}
    return {
        name: {key: value.number for key, value in one.values.items() if key != "code_bits"}
        for name, one in found.items()
        if one
    }


def _reconstruction_distance(jobs: Jobs, of_seed: Jobs) -> dict[str, Any]:
    """By autoencoder and feature space."""
    found: dict[str, Any] = {}
    names = jobs.config.tables_or_default.table2
    for name, space in product(names, distance_spaces(of_seed, names)):
        if summary := _summary(jobs, of_seed(reconstruction_distance, name, space)):
            found.setdefault(name, {})[space] = {
                name.rpartition(".")[2]: number for name, number in summary.numbers.items()
            }
    return found


def _generation(jobs: Jobs, of_seed: Jobs) -> dict[str, Any]:
    """By sample set, feature space and number of images scored, since a distance moves with that number."""
    found: dict[str, Any] = {}
    there = [space for network in jobs.config.evaluation.networks for space in spaces(jobs, network)]
    for table in (name for name, one in TABLES.items() if one.of_samples):
        wanted = getattr(jobs.config.tables_or_default, table).count
        for name, space in product(rows_of(jobs, table), there):
            count = wanted or jobs.config.samples[name].count
            if summary := _summary(jobs, of_seed(evaluation, name, space, count)):
                found.setdefault(name, {}).setdefault(space, {})[str(count)] = {
                    name.rpartition(".")[2]: number for name, number in summary.numbers.items()
                }
    return found


def _neighbours(jobs: Jobs, of_seed: Jobs) -> dict[str, Any]:
    found = {name: _summary(jobs, of_seed(neighbours, name)) for name in jobs.config.samples}
    return {name: {key: one.values[key].number for key in NEIGHBOUR_NUMBERS} for name, one in found.items() if one}
