"""Checksums of results: what is damaged is named before it is used (promise 8).

Beside each file that is put in place in results/store or results/work lies a small one, `.NAME.sha256`, which
`sha256sum --check` reads too: the file's sha256 and, in comments, its size, of a zip the sha256 of its directory, and
the versions of the libraries that it was made with.
A zip's directory has a CRC-32 of each member, which whoever reads the member compares: a job that needs a few images
of a large archive reads no more than those, and its directory.
"""

import hashlib
import re
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.base.errors import InputError, error_text
from pipeline.base.paths import STORE, WORK

SUFFIX = ".sha256"
MADE_WITH = "made with "
LIBRARY = r"[\w.-]+ [\w.+!-]+"  # a name and a version, as Python packages have them
SHOWN = 12  # hexadecimal digits of a sha256 in a message
REMEDY = "`bright verify --repair` moves it aside, and the next run makes it again"


@dataclass(frozen=True)
class Checksum:
    """What is known of a file: its size in bytes, its sha256, and that of its directory if it is a zip."""

    size: int
    sha256: str
    directory: str | None = None
    libraries: dict[str, str] = field(default_factory=dict)
    """The versions of those that it was made with; nothing where that is not known."""

    def text(self, name: str) -> str:
        """The content of the small file."""
        comments = [f"# {self.size} bytes"] + ([f"# directory {self.directory}"] if self.directory else [])
        if self.libraries:
            told = ", ".join(f"{name} {version}" for name, version in self.libraries.items())
            comments.append(f"# {MADE_WITH}{told} ({_check_digits(told)})")
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
        r"# (\d{1,18}) bytes\n(?:# directory ([0-9a-f]{64})\n)?"
        rf"(?:# {MADE_WITH}({LIBRARY}(?:, {LIBRARY})*) \(([0-9a-f]{{8}})\)\n)?([0-9a-f]{{64}})  ([^\n]+)\n",
        text,
        re.ASCII,
    )
    if told is None or told[6] != path.name or (told[3] is not None and told[4] != _check_digits(told[3])):
        raise InputError(f"{place}: not the checksum of {path.name}; {REMEDY}")
    libraries = dict(re.findall(r"([\w.-]+) ([\w.+!-]+)", told[3] or ""))
    return Checksum(int(told[1]), told[5], told[2], libraries)


def _check_digits(told: str) -> str:
    """Of the versions: nothing else here would show that a digit of them is another one."""
    return f"{zlib.crc32(told.encode()):08x}"


def result_libraries(folder: Path) -> list[dict[str, str]]:
    """The versions that a result was made with, of each file that tells; what is unreadable tells nothing."""
    found = []
    for place in sorted(folder.glob(f".*{SUFFIX}")):
        with suppress(InputError):
            if (kept := read_checksum(file_of(place))) is not None and kept.libraries:
                found.append(kept.libraries)
    return found


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
        return f"{path}: damaged: {error_text(error)}; {REMEDY}"
    if found == expected:
        return None
    return f"{path}: damaged: sha256 is {found[:SHOWN]}..., should be {expected[:SHOWN]}...; {REMEDY}"


def check(path: Path) -> None:
    """InputError where a file is not what was put in place; to be called before it is used."""
    if (line := problem(path)) is not None:
        raise InputError(line)
