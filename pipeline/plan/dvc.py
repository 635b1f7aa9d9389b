"""results/RUN/dvc.yaml: the params, metrics, plots and artifacts that DVC shows of a run.

Weights are artifacts with stable names, while their folders are named by digests. There are no stages: Snakemake runs
the jobs. DVC tracks a result in a small `.dvc` file beside its folder, which git keeps.
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
from pipeline.plan.shards import folder, planned_trainings
from pipeline.stages.common import Jobs
from pipeline.stages.figures import figures
from pipeline.training.history import FIRST_COLUMNS

LOCKS = Path(".snakemake/locks")
CONFIG, METRICS = "config.yaml", "metrics.json"
ORIGIN = "# The run of "
HEADER = """\
# What DVC shows of this run; written by the run. Paths are relative to this folder.
#   dvc metrics show, dvc metrics diff, dvc params diff, dvc plots show
#   dvc artifacts get REPOSITORY FOLDER:ARTIFACT, once a version of it is registered (docs/sharing.md)
"""


def write_dvc_files(jobs: Jobs, config_file: str) -> list[str]:
    """Write the run's config with all defaults, and its dvc.yaml, where they changed; returns their paths."""
    place = folder(jobs)
    contents: dict[Path, tuple[str, Any]] = {
        place / CONFIG: (f"{ORIGIN}{config_file}\n", jobs.written.model_dump(mode="json")),
        place / "dvc.yaml": (HEADER, dvc_yaml(jobs, place)),
    }
    for path, (first, values) in contents.items():
        text = first + yaml.safe_dump(values, sort_keys=False, width=120)
        if not (path.exists() and path.read_bytes() == text.encode()):
            write_text(path, text)
    return list(map(str, contents))


def recorded_config(jobs: Jobs) -> str | None:
    """The config file of the run in results/RUN; None if there is no run yet."""
    try:
        first = (folder(jobs) / CONFIG).read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, ValueError):
        return None
    return first.removeprefix(ORIGIN) if first.startswith(ORIGIN) else None


def dvc_yaml(jobs: Jobs, place: Path) -> dict[str, Any]:
    """The content of the dvc.yaml in `place`: the results of the run that exist."""
    # A plot for each column of the histories, with a curve for each training that logged it.
    curves: dict[tuple[str, str], list[str]] = {}
    # Trained weights that are here, or that DVC tracks, by kind and name.
    artifacts: dict[str, Any] = {}
    for kind, name, job in planned_trainings(jobs):
        history = place / "histories" / f"{kind}-{name}.csv"
        if history.exists():
            with history.open(newline="", encoding="utf-8") as file:
                columns = next(csv.reader(file), [])
            for column in columns:
                if column not in FIRST_COLUMNS:
                    curves.setdefault((kind, column), []).append(str(history.relative_to(place)))
        if job.complete or dvc_file(job.folder).exists():
            key = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{kind}-{name}").strip("-_")
            key = f"{key}-{job.digest}" if key in artifacts else key
            path = os.path.relpath(job.path(f"{kind}.safetensors"), place)
            artifacts[key] = {"path": path, "type": "model", "desc": job.name}
    plots: list[Any] = []
    for (kind, column), histories in curves.items():
        x, label = ("step", "step") if kind == "diffusion" else ("images", "training images")
        axes = {"x": x, "y": dict.fromkeys(histories, column), "x_label": label, "y_label": column}
        plots.append({f"{jobs.config.run}: {kind}, {column}": axes})
    plots += [f"figures/{name}.png" for name in jobs(figures) if (place / "figures" / f"{name}.png").exists()]
    metrics = [METRICS] if (place / METRICS).exists() else []
    parts = {"params": [CONFIG], "metrics": metrics, "plots": plots, "artifacts": artifacts}
    return {key: part for key, part in parts.items() if part}


def dvc_file(path: Path) -> Path:
    """DVC's file about a tracked folder or file, beside it."""
    return path.with_name(f"{path.name}.dvc")


def tracked_as(path: Path) -> dict[str, Any]:
    """The entry of DVC's file: `md5` of the content, `size` in bytes, `nfiles`; empty if the path is not tracked."""
    file = dvc_file(path)
    if not file.exists():
        return {}
    try:
        entry = dict(read_yaml(file, str(file))["outs"][0])
        return entry | {key: int(entry[key]) for key in ("size", "nfiles") if key in entry}
    except (InputError, LookupError, TypeError, ValueError, OverflowError):
        raise InputError(f"{file}: not a DVC file of one result; restore it from git") from None


def refuse_while_jobs_run() -> None:
    """InputError while a run is active: its jobs read and write results."""
    if any(LOCKS.glob("*.lock")):
        raise InputError("a run is active here, or a killed run left its lock (then: snakemake --unlock)")
