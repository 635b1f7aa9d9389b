"""What DVC knows of a result: one small file beside the folder, which git can hold."""

from pathlib import Path
from typing import Any

import yaml

from pipeline.base.errors import InputError

LOCKS = Path(".snakemake/locks")


def dvc_file(path: Path) -> Path:
    """Where DVC's file about a tracked folder or file lies: beside it."""
    return path.with_name(f"{path.name}.dvc")


def tracked_as(path: Path) -> dict[str, Any]:
    """What DVC's file says: `md5` of the content, `size` in bytes, `nfiles`; nothing where it is not tracked."""
    file = dvc_file(path)
    return yaml.safe_load(file.read_text(encoding="utf-8"))["outs"][0] if file.exists() else {}


def refuse_while_jobs_run() -> None:
    """What jobs still read or write must not be removed, nor taken for results."""
    if any(LOCKS.glob("*.lock")):
        raise InputError("a run is going on here, or a killed one left its lock (then: snakemake --unlock)")
