"""Kinds of damage that a file can take on a disk, on its way, or by hand."""

from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path, Path], None]


def flip(path: Path, other: Path) -> None:
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path, other: Path) -> None:
    """No byte is left."""
    path.write_bytes(b"")


def zero(path: Path, other: Path) -> None:
    """As long as before, of zeros, as after a power cut."""
    path.write_bytes(bytes(path.stat().st_size))


def truncate(path: Path, other: Path) -> None:
    """The second half is lost."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap(path: Path, other: Path) -> None:
    """The content of another file."""
    path.write_bytes(other.read_bytes())


DAMAGES: dict[str, Damage] = {one.__name__: one for one in (flip, empty, zero, truncate, swap)}
