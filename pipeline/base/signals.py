"""Signals that ask a process to end."""

import signal
from collections.abc import Callable
from types import FrameType


def when_asked_to_end(handler: Callable[[int, FrameType | None], None]) -> None:
    """Call it for SIGTERM, for Ctrl-C, and for a terminal that closes, unless `nohup` has that ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
