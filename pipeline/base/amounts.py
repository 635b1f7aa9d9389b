"""Amounts for people to read: bytes, durations."""

from datetime import timedelta

BYTES = ("B", "kB", "MB", "GB", "TB")
DAY = 86_400


def readable_bytes(size: float) -> str:
    """A number of bytes, such as 12 MB."""
    for unit in BYTES[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.0f} {BYTES[-1]}"


def readable_duration(seconds: float) -> str:
    """A number of seconds, such as 0:12:05, or 3.5 days."""
    return f"{seconds / DAY:.1f} days" if seconds >= 2 * DAY else str(timedelta(seconds=round(seconds)))
