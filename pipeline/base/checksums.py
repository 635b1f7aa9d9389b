"""Checksums of results: what is damaged is named before it is used (promise 8).

Beside each file that is put in place in results/store or results/work lies a small one, `.NAME.sha256`, which
`sha256sum --check` reads too: the file's sha256 and, in comments, its size and, of a zip, the sha256 of its directory.
A zip's directory has a CRC-32 of each member, which whoever reads the member compares: a job that needs a few images
of a large archive reads no more than those, and its directory.
"""

import hashlib
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import InputError, said
from pipeline.base.places import STORE, WORK

SUFFIX = ".sha256"
SHOWN = 12  # hexadecimal digits of a sha256 in a message
REMEDY = "`bright verify --repair` moves it aside, and the next run makes it again"


@dataclass(frozen=True)
class Checksum:
    """What is known of a file: its size in bytes, its sha256, and that of its directory if it is a zip."""

    size: int
    sha256: str
    directory: str | None = None

    def text(self, name: str) -> str:
        """The content of the small file."""
        comments = [f"# {self.size} bytes"] + ([f"# directory {self.directory}"] if self.directory else [])
        return "\n".join([*comments, f"{self.sha256}  {name}"]) + "\n"


def checksum_path(path: Path) -> Path:
    """Where the checksum of a file lies."""
    return path.with_name(f".{path.name}{SUFFIX}")


def is_checksum(name: str) -> bool:
    """Whether a file of this name is a checksum."""
    return name.startswith(".") and name.endswith(SUFFIX)


def file_of(checksum: Path) -> Path:
    """The file that a checksum is of."""
    return checksum.with_name(checksum.name[1:].removesuffix(SUFFIX))


def is_kept(path: Path) -> bool:
    """Whether files in this place have checksums."""
    place = path.absolute()
    return not path.name.startswith(".") and any(place.is_relative_to(one.absolute()) for one in (STORE, WORK))


def take_checksum(path: Path) -> Checksum:
    """Read a file as it is now."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    directory = _directory(path) if path.suffix == ".zip" and zipfile.is_zipfile(path) else None
    return Checksum(path.stat().st_size, sha256, directory)


def _directory(path: Path) -> str:
    """sha256 of names, sizes, CRC-32s and places of a zip's members."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for one in archive.infolist():
            digest.update(f"{one.filename}\0{one.file_size} {one.CRC} {one.header_offset}\n".encode())
    return digest.hexdigest()


def read_checksum(path: Path) -> Checksum | None:
    """What was kept of a file; None where nothing was. InputError where that cannot be read."""
    place = checksum_path(path)
    try:
        text = place.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{place}: not readable ({error}); {REMEDY}") from None
    told = re.fullmatch(
        r"# (\d{1,18}) bytes\n(?:# directory ([0-9a-f]{64})\n)?([0-9a-f]{64})  ([^\n]+)\n", text, re.ASCII
    )
    if told is None or told[4] != path.name:
        raise InputError(f"{place}: not the checksum of {path.name}; {REMEDY}")
    return Checksum(int(told[1]), told[3], told[2])


def size_problem(path: Path) -> str | None:
    """A line where a file has another size than when it was put in place; it is not opened."""
    try:
        kept, size = read_checksum(path), path.stat().st_size
    except FileNotFoundError:
        return None
    except (OSError, InputError) as error:
        return str(error)
    return None if kept is None or kept.size == size else f"{path}: {_sizes(size, kept.size)}; {REMEDY}"


def _sizes(found: int, expected: int) -> str:
    return f"damaged: {found:,} bytes, should be {expected:,}"


def problem(path: Path, whole: bool = False) -> str | None:
    """A line where a file is not what was put in place; None also where nothing is known of it, or it is not here.

    `whole`: a zip is read from end to end, not its directory alone.
    """
    if (line := size_problem(path)) is not None:
        return line
    try:
        kept = read_checksum(path)
        if kept is None or not path.exists():
            return None
        if kept.directory is not None and not whole:
            found, expected = _directory(path), kept.directory
        else:
            now = take_checksum(path)
            if now.sha256 == kept.sha256 and now.directory != kept.directory:
                return f"{checksum_path(path)}: damaged: not the checksum of {path.name}; {REMEDY}"
            found, expected = now.sha256, kept.sha256
    except OSError as error:
        return f"{path}: not readable ({error.strerror}); {REMEDY}"
    except Exception as error:  # zipfile raises whatever damaged bytes lead it to
        return f"{path}: damaged: {said(error)}; {REMEDY}"
    if found == expected:
        return None
    return f"{path}: damaged: sha256 is {found[:SHOWN]}..., should be {expected[:SHOWN]}...; {REMEDY}"


def check(path: Path) -> None:
    """InputError where a file is not what was put in place; to be called before it is used."""
    if (line := problem(path)) is not None:
        raise InputError(line)
