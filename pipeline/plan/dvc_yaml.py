"""What DVC shows of a run: results/RUN/dvc.yaml, with params, metrics, plots and artifacts.

Weights lie in folders named by digests; here they are artifacts with names that stay. Jobs and their order are
Snakemake's: there are no stages. `dvc` finds the file by itself, from anywhere in the repository.
"""

import csv
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.base.atomic import write_text
from pipeline.plan.metrics import trainings
from pipeline.plan.tracking import dvc_file
from pipeline.training.history import FIRST_COLUMNS

if TYPE_CHECKING:
    from pipeline.plan.run import Plan

CONFIG, METRICS, SHOWN = "config.yaml", "metrics.json", "dvc.yaml"
HEADER = """\
# What DVC shows of this run; written by the run. Paths are relative to this folder.
#   dvc metrics show, dvc metrics diff, dvc params diff, dvc plots show
#   dvc artifacts get REPOSITORY FOLDER:ARTIFACT, once a version of it is registered (docs/sharing.md)
"""


def write_dvc_files(plan: "Plan") -> list[str]:
    """Write the run's config, all defaults filled in, and its dvc.yaml where they changed; returns their paths."""
    folder = Path("results") / plan.config.run
    config = yaml.safe_dump(plan.written.model_dump(mode="json"), sort_keys=False, width=120)
    _keep(folder / CONFIG, config)
    _keep(folder / SHOWN, HEADER + yaml.safe_dump(shown(plan, folder), sort_keys=False, width=120))
    return [str(folder / CONFIG), str(folder / SHOWN)]


def _keep(path: Path, text: str) -> None:
    if not (path.exists() and path.read_text(encoding="utf-8") == text):
        write_text(path, text)


def shown(plan: "Plan", folder: Path) -> dict[str, Any]:
    """The content of the dvc.yaml in `folder`: what is there of the run."""
    parts = {
        "params": [CONFIG],
        "metrics": [METRICS] if (folder / METRICS).exists() else [],
        "plots": [*_curves(plan, folder), *_pictures(plan, folder)],
        "artifacts": _artifacts(plan, folder),
    }
    return {key: part for key, part in parts.items() if part}


def _curves(plan: "Plan", folder: Path) -> list[dict[str, Any]]:
    """A plot for each column of the histories, with a curve for each training that logged it."""
    curves: dict[tuple[str, str], list[str]] = {}
    for kind, name, _ in trainings(plan):
        history = folder / "histories" / f"{kind}-{name}.csv"
        if history.exists():
            for column in _columns(history):
                curves.setdefault((kind, column), []).append(str(history.relative_to(folder)))
    return [
        {
            f"{plan.config.run}: {kind}, {column}": {
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


def _pictures(plan: "Plan", folder: Path) -> list[str]:
    """The run's figures, which `dvc plots diff` puts side by side."""
    places = [Path("figures") / f"{name}.png" for name in plan.figures]
    return [str(place) for place in places if (folder / place).exists()]


def _artifacts(plan: "Plan", folder: Path) -> dict[str, Any]:
    """Trained weights that are here, or that DVC tracks, by kind and name."""
    found: dict[str, Any] = {}
    for kind, name, job in trainings(plan):
        if job.complete or dvc_file(job.folder).exists():
            key = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{kind}-{name}").strip("-_")
            path = os.path.relpath(job.path(f"{kind}.safetensors"), folder)
            found[f"{key}-{job.digest}" if key in found else key] = {"path": path, "type": "model", "desc": job.name}
    return found
