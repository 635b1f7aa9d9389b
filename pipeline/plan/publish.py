"""results/RUN: copies of what a config's results are, under the names that people know.

A copy whose store folder is not here (a fresh clone of a shared run) stays, and is said to be of an earlier run. The
record of which result each copy is of, results/RUN/published.json, tells one from the other: clocks decide nothing.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.base.atomic import atomic_path, write_json
from pipeline.plan.dvc import write_dvc_files
from pipeline.plan.identities import record_identity
from pipeline.plan.metrics import write_metrics
from pipeline.plan.planned import planned
from pipeline.plan.view import folder, view
from pipeline.stages.common import Jobs

RECORD = "published.json"


@dataclass
class Published:
    """What lies in results/RUN after a run."""

    present: list[str] = field(default_factory=list)
    """Paths of this config's results."""
    earlier: list[str] = field(default_factory=list)
    """Paths of copies whose results are not here."""


def publish(jobs: Jobs, origin: str) -> Published:
    """Copy what is ready into results/RUN, where it differs, and record what finished results were made from.

    Copies of results that this config no longer has go, where the store still keeps those. `origin`: the config file.
    """
    jobs.shelf.forget()
    found, record = Published(), folder(jobs) / RECORD
    known: dict[str, str] = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    shown = dict(known)
    for place, output in jobs(view).items():
        if output.job.has(output.file):
            _copy(Path(output.path), Path(place))
            found.present.append(place)
            shown[place] = output.path
        elif Path(place).exists() and known.get(place) != output.path:
            found.earlier.append(place)
    for place in known.keys() - jobs(view).keys():
        if Path(known[place]).exists() or not Path(place).exists():
            Path(place).unlink(missing_ok=True)
            del shown[place]
        else:
            found.earlier.append(place)
    for job in jobs(planned).values():
        record_identity(job)
    if found.present:
        _keep(record, shown)
        found.present += write_metrics(jobs, folder(jobs) / "metrics.json")
        found.present += write_dvc_files(jobs, origin)
    return found


def _keep(path: Path, values: dict[str, str]) -> None:
    if not (path.exists() and json.loads(path.read_text(encoding="utf-8")) == values):
        write_json(path, values)


def _copy(stored: Path, place: Path) -> None:
    content = stored.read_bytes()
    if not (place.exists() and place.read_bytes() == content):
        with atomic_path(place) as temporary:
            temporary.write_bytes(content)
