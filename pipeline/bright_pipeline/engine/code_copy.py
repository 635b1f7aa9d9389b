"""The copy of the code from which a run's jobs start, results/code/DIGEST, made once for each content.

It has the package and the packages of the config's families, whole, as they were when the run was planned. An edit, a
`git pull` or `pip install -U` during a run reaches none of its jobs, here or on other machines; the next run uses the
new code. A job on a cluster plans from the copy, too.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from bright_pipeline.base.amounts import readable_bytes
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import RESULTS
from bright_pipeline.engine.atomic import new_folder
from bright_pipeline.engine.code import OWN, PROJECT

COPIES = RESULTS / "code"
VARIABLE = "BRIGHT_CODE"  # the run's copy, for its jobs on a cluster
DIGITS = 12
LARGEST_BYTES = 100 * 2**20  # of a package with a family

Files = dict[str, bytes]  # path in the copy -> content


def code_files(packages: Iterable[str]) -> Files:
    """The files of this package and of these, but for bytecode and hidden files; InputError where one is missing."""
    return {name: content for package in sorted({OWN, *packages}) for name, content in _package_files(package).items()}


def _package_files(package: str) -> Files:
    bases = PROJECT.bases(package)
    found = {
        Path(package, path.relative_to(base)): path
        for base in bases
        if base.is_dir()
        for path in (Path(folder, name) for folder, _, names in os.walk(base, followlinks=True) for name in names)
        if "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    found |= {Path(path.name): path for base in bases if (path := base.with_suffix(".py")).is_file()}
    if not found:
        raise InputError(f"{package}: no folder or file with its code at {bases[0] if bases else 'any place'}")
    if (size := sum(path.stat().st_size for path in found.values())) > LARGEST_BYTES:
        limit = f"a run copies the code of its families, at most {readable_bytes(LARGEST_BYTES)}"
        raise InputError(f"{package}: has {readable_bytes(size)}, and {limit}: keep data outside of the package")
    return {name.as_posix(): path.read_bytes() for name, path in found.items()}


def copy_path(files: Files) -> Path:
    """The folder of the copy with these files, whether it exists or not; absolute."""
    lines = (f"{name} {hashlib.sha256(content).hexdigest()}" for name, content in sorted(files.items()))
    return COPIES.absolute() / hashlib.sha256("\n".join(lines).encode()).hexdigest()[:DIGITS]


def keep_copy(files: Files) -> Path:
    """Make the read-only copy of these files if it is missing or not whole; returns its folder.

    Of two runs that make it at once, the first one's stays. Killed while it copies, a process leaves no such folder.
    """
    folder = copy_path(files)
    if folder.exists() and not is_whole(folder, files):
        shutil.rmtree(folder)
    if not folder.exists():
        try:
            with new_folder(folder) as temporary:
                for name, content in files.items():
                    path = temporary / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                    with suppress(OSError):  # some file systems set no modes
                        path.chmod(0o444)
        except InputError:
            if not is_whole(folder, files):
                raise
    return folder


def is_whole(folder: Path, files: Files) -> bool:
    """Whether a copy has these files."""
    with suppress(OSError):
        return all((folder / name).read_bytes() == content for name, content in files.items())
    return False
