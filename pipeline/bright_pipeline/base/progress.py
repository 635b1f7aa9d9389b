"""Progress of long work: a bar on a terminal, lines in a log."""

import logging
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from tqdm import tqdm

logger = logging.getLogger("bright_pipeline")

LOG_LINE_EVERY_S = 10.0
NO_PROGRESS = {"description": "", "done_before": 0, "done": 0, "total": 0, "unit": ""}
NO_PROGRESS |= {"rate": 0.0, "left_s": None, "note": ""}


@dataclass
class Activity:
    """The log and the progress of this process, which its job's record shows."""

    log: Path | None = None
    facts: dict[str, Any] = field(default_factory=NO_PROGRESS.copy)


activity = Activity()


def log_to(path: Path | None) -> None:
    """Write log lines to `path`, to stderr without it. A resumed job appends to its log."""
    logging.raiseExceptions = False  # a log line lost on a full disk is not worth a traceback
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers.clear()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8") if path is not None else logging.StreamHandler(sys.stderr)
    activity.log = path
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)


class Progress:
    """Counts units of work, with rate and time left: a bar on a terminal, a line in the log every ten seconds."""

    def __init__(self, description: str, total: int, unit: str, done: int = 0, visible: bool = True):
        self.description, self.total, self.unit, self.done = description, total, unit, done
        self.done_before, self.visible, self.note = done, visible, ""
        self.rate = 0.0  # units per second since the start or resume
        self.started_at = self.last_line_at = time.monotonic()
        off = not (visible and sys.stderr.isatty())
        self.bar = tqdm(total=total, initial=done, desc=description, unit=f" {unit}", disable=off, dynamic_ncols=True)
        self._update_record()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.bar.close()
        if kind is None:
            self._log_line("")

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more units are done; `note` (such as the loss) is appended to the line."""
        self.done += count
        elapsed = time.monotonic() - self.started_at
        self.rate = (self.done - self.done_before) / elapsed if elapsed > 0 else 0.0
        self.bar.update(count)
        if note:
            self.note = note
            self.bar.set_postfix_str(note, refresh=False)
        self._update_record()
        if time.monotonic() - self.last_line_at >= LOG_LINE_EVERY_S:
            self._log_line(note)

    @property
    def left_s(self) -> float | None:
        return (self.total - self.done) / self.rate if self.rate > 0 else None

    def _update_record(self) -> None:
        activity.facts = {key: getattr(self, key) for key in NO_PROGRESS}

    def _log_line(self, note: str) -> None:
        self.last_line_at = time.monotonic()
        left = "unknown" if self.left_s is None else timedelta(seconds=round(self.left_s))
        counts = f"{self.description}: {self.done} of {self.total} {self.unit}, {self.rate:.3g} per second"
        if self.visible:
            logger.info("%s, %s left%s", counts, left, f", {note}" if note else "")
