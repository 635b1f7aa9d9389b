"""Checksums of results (promise 8): a SHA256SUMS in each folder of results/store and results/work.

`sha256sum -c SHA256SUMS` reads it. Comment lines, which `sha256sum` ignores, add each file's size, for a zip the sha256
of its directory, and the versions of the libraries that wrote the files below. The last line is a checksum of the list
itself and of the folder's digest: a damaged, truncated or foreign SHA256SUMS is detected.

    # made with numpy 2.4.6, python 3.12.3
    # 5120 bytes, directory 3af1...
    0af3...  images-000000-000016.zip
    # checksum of this list: 5be1...

A zip's directory holds a CRC-32 of each member, which every reader of the member compares. A job that needs a few
images of a large archive therefore reads only those images and the directory.
"""

import hashlib
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Literal

from bright_pipeline.base.errors import InputError, error_text
from bright_pipeline.base.paths import STORE, WORK

SUMS = "SHA256SUMS"
SEAL = "# checksum of this list: "
ENTRY = re.compile(r"(?:# made with (.+)\n)?# (\d+) bytes(?:, directory (\w+))?\n([0-9a-f]{64})  (.+)\n")
SHOWN_DIGITS = 12  # of a sha256 in a message
REMEDY = "`bright verify --repair` moves it away, and the next run makes it again"

Reading = Literal["size", "directory", "content"]
"""How much of a file is compared: its size; of a zip its directory, of other files the content; always the content."""


@dataclass(frozen=True)
class Checksum:
    """A file as it was when it was put in place: bytes, sha256, sha256 of a zip's directory, library -> version."""

    size: int
    sha256: str
    directory: str | None = None
    libraries: dict[str, str] = field(default_factory=dict)


def has_checksum(path: Path) -> bool:
    """Whether this file gets a checksum: files in a result's folder and in folders of results/work do."""
    parents = path.absolute().parents
    in_folder = STORE.absolute() in parents[2:] or WORK.absolute() in parents[1:]
    return in_folder and not path.name.startswith(".") and path.name != SUMS


def take_checksum(path: Path) -> Checksum:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    directory = _directory(path) if path.suffix == ".zip" and zipfile.is_zipfile(path) else None
    return Checksum(path.stat().st_size, sha256, directory)


def _directory(path: Path) -> str:
    """sha256 of the names, sizes, CRC-32s and offsets of a zip's members."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    lines = (f"{member.filename}\0{member.file_size} {member.CRC} {member.header_offset}\n" for member in members)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def sums_text(folder: Path, sums: Mapping[str, Checksum]) -> str:
    """The content of a folder's SHA256SUMS: files by name, grouped by the libraries that wrote them."""

    def libraries(name: str) -> str:
        return ", ".join(f"{library} {version}" for library, version in sums[name].libraries.items())

    text = ""
    for versions, names in groupby(sorted(sums, key=lambda name: (libraries(name), name)), key=libraries):
        text += f"# made with {versions}\n" if versions else ""
        for name in names:
            directory = f", directory {sums[name].directory}" if sums[name].directory else ""
            text += f"# {sums[name].size} bytes{directory}\n{sums[name].sha256}  {name}\n"
    return f"{text}{SEAL}{_seal(folder, text)}\n"


def _seal(folder: Path, text: str) -> str:
    """The digest in the folder's name counts, not the readable part before it, which may change."""
    return hashlib.sha256(f"{folder.absolute().name.rsplit('-', 1)[-1]}\n{text}".encode()).hexdigest()


def read_sums(folder: Path) -> dict[str, Checksum]:
    """The checksums of a folder by file name; none if it has no SHA256SUMS. InputError if that is damaged."""
    path = folder / SUMS
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable ({error}); {REMEDY}") from None
    if SEAL not in text and not has_checksum(folder / "any"):
        return {}  # another program's list of raw images or downloads
    entries, _, seal = text.rpartition(SEAL)
    if seal != f"{_seal(folder, entries)}\n":
        raise InputError(f"{path}: damaged, or of another folder; {REMEDY}")
    sums: dict[str, Checksum] = {}
    libraries: dict[str, str] = {}
    for versions, size, directory, sha256, name in ENTRY.findall(entries):
        libraries = dict(pair.split(" ", 1) for pair in versions.split(", ")) if versions else libraries
        sums[name] = Checksum(int(size), sha256, directory or None, libraries)
    return sums


def result_libraries(folder: Path) -> list[dict[str, str]]:
    """The versions of libraries that wrote a result's files, each combination once; none from a damaged SHA256SUMS."""
    with suppress(InputError):
        libraries = {str(checksum.libraries): checksum.libraries for checksum in read_sums(folder).values()}
        return [versions for versions in libraries.values() if versions]
    return []


def problems(paths: Iterable[Path], read: Reading = "directory") -> Iterator[str]:
    """One line for each file that differs from its checksum, and for each damaged SHA256SUMS."""
    for folder, files in groupby(paths, key=lambda path: path.parent):
        try:
            sums = read_sums(folder)
        except InputError as error:
            yield str(error)
            continue
        for path in files:
            if path.name in sums and (line := difference(path, sums[path.name], read)) is not None:
                yield line


def problem(path: Path, read: Reading = "directory") -> str | None:
    """A line if a file differs from its checksum; None also for a missing file or one without a checksum."""
    return next(problems([path], read), None)


def check(*paths: Path) -> None:
    """InputError if a file differs from its checksum; call this before the file is used."""
    if (line := next(problems(paths), None)) is not None:
        raise InputError(line)


def difference(path: Path, expected: Checksum, read: Reading) -> str | None:
    """A line if a file differs from its checksum; None also for a missing file."""
    try:
        size = path.stat().st_size
        if size != expected.size:
            return f"{path}: damaged: {size:,} bytes, should be {expected.size:,}; {REMEDY}"
        if read == "size":
            return None
        if read == "directory" and expected.directory is not None:
            actual, required = _directory(path), expected.directory
        else:
            actual, required = take_checksum(path).sha256, expected.sha256
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path}: not readable ({error.strerror}); {REMEDY}"
    except Exception as error:  # damaged bytes make zipfile raise anything
        return f"{path}: damaged: {error_text(error)}; {REMEDY}"
    digits = f"sha256 is {actual[:SHOWN_DIGITS]}..., should be {required[:SHOWN_DIGITS]}..."
    return None if actual == required else f"{path}: damaged: {digits}; {REMEDY}"
