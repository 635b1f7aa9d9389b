"""Fingerprints of other programs' checkpoints, taken once and kept in small files that git can hold.

Like those of raw collections (`pipeline.data.kept_fingerprints`): by content, so that a colleague without the
checkpoint has the same digests as long as the fingerprint's file is there.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline.base.atomic import write_json
from pipeline.base.progress import logger
from pipeline.config.foreign import ForeignWeights
from pipeline.data.kept_fingerprints import FINGERPRINTS

BLOCK = 2**20  # bytes read at a time


def checkpoint_fingerprint(name: str, weights: ForeignWeights, where: str) -> dict[str, Any]:
    """The kept fingerprint of a checkpoint; the one taken now where its files' sizes changed; that it is absent.

    `where` is the config's key, for the line in the log.
    """
    place = hashlib.sha256(weights.path.encode()).hexdigest()[:8]
    kept = FINGERPRINTS / f"{name}-{place}.json"
    known = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else None
    path = Path(weights.path)
    if not path.exists():
        return known or {"absent": weights.path}
    files = _files(path)
    sizes = {file.relative_to(path).as_posix(): file.stat().st_size for file in files}
    if known is not None and known["sizes"] == sizes:
        return known
    if known is not None:
        logger.warning("%s: the checkpoint's files have other sizes now; taking its fingerprint again", where)
    taken = {"sizes": sizes, "sha256": _digest(path, files)}
    write_json(kept, taken)
    return taken


def missing_checkpoint(weights: ForeignWeights, where: str) -> str | None:
    """One line saying that a checkpoint is not there; None where it is."""
    if Path(weights.path).exists():
        return None
    return f"{where}.path: {weights.path} does not exist; a run that imports it needs the {weights.kind} checkpoint"


def _files(path: Path) -> list[Path]:
    """The file itself, or the files in a folder, sorted."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _digest(path: Path, files: list[Path]) -> str:
    """sha256 of every file's name inside the folder and content."""
    whole = hashlib.sha256()
    for file in files:
        content = hashlib.sha256()
        with file.open("rb") as stream:
            while block := stream.read(BLOCK):
                content.update(block)
        whole.update(f"{file.relative_to(path).as_posix()}\n{content.hexdigest()}\n".encode())
    return whole.hexdigest()
