"""What DVC knows of a result: one small file beside the folder, which git can hold."""

from pathlib import Path
from typing import Any

import yaml


def dvc_file(path: Path) -> Path:
    """Where DVC's file about a tracked folder or file lies: beside it."""
    return path.with_name(f"{path.name}.dvc")


def tracked_as(path: Path) -> dict[str, Any]:
    """What DVC's file says: `md5` of the content, `size` in bytes, `nfiles`; nothing where it is not tracked."""
    file = dvc_file(path)
    return yaml.safe_load(file.read_text(encoding="utf-8"))["outs"][0] if file.exists() else {}
