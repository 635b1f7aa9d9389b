"""Readable amounts: bytes, durations."""

from datetime import timedelta

DAY_S = 86_400


def readable_bytes(size: float) -> str:
    """A number of bytes, such as 12 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.0f} TB"


def readable_duration(seconds: float) -> str:
    """A number of seconds, such as 0:12:05 or 3.5 days."""
    return f"{seconds / DAY_S:.1f} days" if seconds >= 2 * DAY_S else str(timedelta(seconds=round(seconds)))
