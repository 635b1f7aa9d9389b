"""Progress of long work: a bar on a terminal, lines in a log."""

import logging
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from pipeline.base.heartbeat import NOTHING_YET, activity

logger = logging.getLogger("pipeline")

LOG_LINE_EVERY_S = 10.0


def log_to(path: Path | None) -> None:
    """Send the stage's lines to `path` (appended: a resumed job keeps its story), else to stderr."""
    logging.raiseExceptions = False  # a line that a full disk does not take is not worth a traceback
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers.clear()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = logging.FileHandler(path, encoding="utf-8")
    else:
        handler = logging.StreamHandler(sys.stderr)
    activity.log = path
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)


class Progress:
    """Counts `total` units of work; use as a context manager and call `advance`.

    On a terminal a bar shows rate and time left; the log gets a line every ten seconds with the same.
    """

    def __init__(self, description: str, total: int, unit: str, done: int = 0, visible: bool = True):
        self.description, self.total, self.unit, self.done = description, total, unit, done
        self.done_before, self.visible, self.note = done, visible, ""
        self.rate = 0.0
        """Units per second; those of before a resume don't count."""
        self.started_at = self.last_line_at = time.monotonic()
        shown = visible and sys.stderr.isatty()
        self.bar = tqdm(
            total=total, initial=done, desc=description, unit=f" {unit}", disable=not shown, dynamic_ncols=True
        )
        self._report()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
        if kind is None:
            self._line("")

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more units are done; `note` (such as the loss) stands behind the numbers."""
        self.done += count
        elapsed = time.monotonic() - self.started_at
        self.rate = (self.done - self.done_before) / elapsed if elapsed > 0 else 0.0
        self.bar.update(count)
        if note:
            self.note = note
            self.bar.set_postfix_str(note, refresh=False)
        self._report()
        if time.monotonic() - self.last_line_at >= LOG_LINE_EVERY_S:
            self._line(note)

    @property
    def left_s(self) -> float | None:
        """Seconds left, where that can be told yet."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None

    def _report(self) -> None:
        """For the stage's record."""
        activity.facts = {key: getattr(self, key) for key in NOTHING_YET}

    def _line(self, note: str) -> None:
        self.last_line_at = time.monotonic()
        left = self.left_s
        told = "unknown" if left is None else timedelta(seconds=round(left))
        facts = (self.description, self.done, self.total, self.unit, self.rate, told, f", {note}" if note else "")
        if self.visible:
            logger.info("%s: %d of %d %s, %.3g per second, %s left%s", *facts)
