"""What DVC shows of a run: results/RUN/dvc.yaml, with params, metrics, plots and artifacts.

Weights lie in folders named by digests; here they are artifacts with names that stay. Jobs and their order are
Snakemake's: there are no stages. `dvc` finds the file by itself, from anywhere in the repository. What DVC knows of a
result is in a small file beside the folder, which git can hold.
"""

import csv
import os
import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.base.atomic import write_text
from pipeline.base.errors import InputError
from pipeline.base.yaml_files import read_yaml
from pipeline.plan.view import folder, planned_trainings
from pipeline.stages.common import Jobs
from pipeline.stages.figures import figures
from pipeline.training.history import FIRST_COLUMNS

LOCKS = Path(".snakemake/locks")
CONFIG, METRICS, SHOWN = "config.yaml", "metrics.json", "dvc.yaml"
ORIGIN = "# The run of "
HEADER = """\
# What DVC shows of this run; written by the run. Paths are relative to this folder.
#   dvc metrics show, dvc metrics diff, dvc params diff, dvc plots show
#   dvc artifacts get REPOSITORY FOLDER:ARTIFACT, once a version of it is registered (docs/sharing.md)
"""


def write_dvc_files(jobs: Jobs, origin: str) -> list[str]:
    """Write the run's config, all defaults filled in, and its dvc.yaml where they changed; returns their paths."""
    place = folder(jobs)
    config = ORIGIN + origin + "\n" + yaml.safe_dump(jobs.written.model_dump(mode="json"), sort_keys=False, width=120)
    _keep(place / CONFIG, config)
    _keep(place / SHOWN, HEADER + yaml.safe_dump(shown(jobs, place), sort_keys=False, width=120))
    return [str(place / CONFIG), str(place / SHOWN)]


def recorded_origin(jobs: Jobs) -> str | None:
    """The config file whose run lies in results/RUN; None where there is no run yet."""
    try:
        first = (folder(jobs) / CONFIG).read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, ValueError):
        return None
    return first.removeprefix(ORIGIN) if first.startswith(ORIGIN) else None


def _keep(path: Path, text: str) -> None:
    if not (path.exists() and path.read_bytes() == text.encode()):
        write_text(path, text)


def shown(jobs: Jobs, place: Path) -> dict[str, Any]:
    """The content of the dvc.yaml in `place`: what is there of the run."""
    parts = {
        "params": [CONFIG],
        "metrics": [METRICS] if (place / METRICS).exists() else [],
        "plots": [*_curves(jobs, place), *_pictures(jobs, place)],
        "artifacts": _artifacts(jobs, place),
    }
    return {key: part for key, part in parts.items() if part}


def _curves(jobs: Jobs, place: Path) -> list[dict[str, Any]]:
    """A plot for each column of the histories, with a curve for each training that logged it."""
    curves: dict[tuple[str, str], list[str]] = {}
    for kind, name, _ in planned_trainings(jobs):
        history = place / "histories" / f"{kind}-{name}.csv"
        if history.exists():
            for column in _columns(history):
                curves.setdefault((kind, column), []).append(str(history.relative_to(place)))
    return [
        {
            f"{jobs.config.run}: {kind}, {column}": {
                "x": "step" if kind == "diffusion" else "images",
                "y": dict.fromkeys(histories, column),
                "x_label": "step" if kind == "diffusion" else "training images",
                "y_label": column,
            }
        }
        for (kind, column), histories in curves.items()
    ]


def _columns(history: Path) -> list[str]:
    with history.open(newline="", encoding="utf-8") as file:
        return [column for column in next(csv.reader(file), []) if column not in FIRST_COLUMNS]


def _pictures(jobs: Jobs, place: Path) -> list[str]:
    """The run's figures, which `dvc plots diff` puts side by side."""
    places = [Path("figures") / f"{name}.png" for name in jobs(figures)]
    return [str(picture) for picture in places if (place / picture).exists()]


def _artifacts(jobs: Jobs, place: Path) -> dict[str, Any]:
    """Trained weights that are here, or that DVC tracks, by kind and name."""
    found: dict[str, Any] = {}
    for kind, name, job in planned_trainings(jobs):
        if job.complete or dvc_file(job.folder).exists():
            key = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{kind}-{name}").strip("-_")
            path = os.path.relpath(job.path(f"{kind}.safetensors"), place)
            found[f"{key}-{job.digest}" if key in found else key] = {"path": path, "type": "model", "desc": job.name}
    return found


def dvc_file(path: Path) -> Path:
    """Where DVC's file about a tracked folder or file lies: beside it."""
    return path.with_name(f"{path.name}.dvc")


def tracked_as(path: Path) -> dict[str, Any]:
    """What DVC's file says: `md5` of the content, `size` in bytes, `nfiles`; nothing where it is not tracked."""
    file = dvc_file(path)
    if not file.exists():
        return {}
    try:
        return dict(read_yaml(file, str(file))["outs"][0])
    except (InputError, KeyError, IndexError, TypeError, ValueError):
        raise InputError(f"{file}: not a file of DVC's about one result; bring it back with git") from None


def refuse_while_jobs_run() -> None:
    """What jobs still read or write must not be removed, nor taken for results."""
    if any(LOCKS.glob("*.lock")):
        raise InputError("a run is going on here, or a killed one left its lock (then: snakemake --unlock)")
