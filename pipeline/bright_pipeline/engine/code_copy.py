"""The copy of the code from which a run's jobs start, results/code/DIGEST, made once for each content.

It has the package, the packages of the config's families and a checkout's rules, whole, as they were when the run was
planned. An edit, a `git pull` or `pip install -U` during a run reaches none of its jobs, here or on other machines; the
next run uses the new code. A job on a cluster plans from the copy, too.

The record of a result names the copy, so that `bright accept --dry-run` shows what has changed since.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from difflib import unified_diff
from importlib import metadata
from pathlib import Path
from typing import Any

from bright_pipeline.base.amounts import readable_bytes
from bright_pipeline.base.errors import PROJECT as DISTRIBUTION
from bright_pipeline.base.errors import InputError, readable
from bright_pipeline.base.paths import RESULTS
from bright_pipeline.engine.atomic import new_folder
from bright_pipeline.engine.code import OWN, PROJECT, ROOT, Code, digests

COPIES = RESULTS / "code"
VARIABLE = "BRIGHT_CODE"  # the run's copy, for its jobs on a cluster
BYTECODE = "__pycache__"
DIGITS = 12
DAMAGED_COPY = "these files are not those of the code that was copied; remove it: a run copies its code again"
LARGEST_BYTES = 100 * 2**20  # of a package with a family
DATA_BYTES = 2**20  # a larger file is data: it takes no space again where the file system has hard links

Files = dict[str, bytes | Path]  # path in the copy -> content, or a file of data


def code_files(packages: Iterable[str], rules: Path | None = None) -> Files:
    """The files of this package and of these, and those in the folder of rules, but for bytecode and hidden files.

    InputError where a package is missing, or too large.
    """
    found: dict[Path, Path] = {} if rules is None else _below(rules, "rules")
    for package in {OWN, *packages}:
        bases = PROJECT.bases(package)
        files = {name: path for base in bases for name, path in _below(base, package).items()}
        files |= {Path(path.name): path for base in bases if (path := base.with_suffix(".py")).is_file()}
        if not files:
            raise InputError(f"{package}: no folder or file with its code at {bases[0] if bases else 'any place'}")
        if (size := sum(path.stat().st_size for path in files.values())) > LARGEST_BYTES:
            limit = f"a run copies the code of its families, at most {readable_bytes(LARGEST_BYTES)}"
            raise InputError(f"{package}: has {readable_bytes(size)}, and {limit}: keep data outside of the package")
        found |= files
    large = {path for path in found.values() if path.stat().st_size > DATA_BYTES}
    return {name.as_posix(): path if path in large else path.read_bytes() for name, path in found.items()}


def _below(folder: Path, name: str) -> dict[Path, Path]:
    paths = (Path(parent, file) for parent, _, files in os.walk(folder, followlinks=True) for file in files)
    own = (path for path in paths if BYTECODE not in path.parts and not path.name.startswith("."))
    return {Path(name, path.relative_to(folder)): path for path in own}


def copy_path(files: Files) -> Path:
    """The folder of the copy with these files, whether it exists or not; absolute."""
    lines = (f"{name} {hashlib.sha256(_content(file)).hexdigest()}" for name, file in sorted(files.items()))
    return COPIES.absolute() / hashlib.sha256("\n".join(lines).encode()).hexdigest()[:DIGITS]


def keep_copy(files: Files) -> Path:
    """Make the read-only copy of these files if it is missing or not whole; returns its folder.

    Of two runs that make it at once, the first one's stays. Killed while it copies, a process leaves no such folder. A
    copy that came with results of others runs only if it has these files and no other; its bytecode never does.
    """
    folder = copy_path(files)
    for bytecode in list(folder.rglob(BYTECODE)):
        bytecode.unlink() if bytecode.is_symlink() else shutil.rmtree(bytecode, ignore_errors=True)
    if folder.exists() and not is_whole(folder, files):
        shutil.rmtree(folder)
    if not folder.exists():
        try:
            with new_folder(folder) as temporary:
                for name, file in files.items():
                    (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                    _write(temporary / name, file)
        except InputError:
            if not is_whole(folder, files):
                raise
    return folder


def _content(file: bytes | Path) -> bytes:
    return file if isinstance(file, bytes) else file.read_bytes()


def _write(path: Path, file: bytes | Path) -> None:
    if isinstance(file, Path):
        try:
            path.hardlink_to(file.resolve())
            return
        except OSError:  # on another file system, or on one without links
            file = file.read_bytes()
    path.write_bytes(file)
    with suppress(OSError):  # some file systems set no modes
        path.chmod(0o444)


def version() -> str:
    """The version of the package, and of a checkout its commit, such as "0.1.0, commit 70718de-dirty"."""
    with suppress(metadata.PackageNotFoundError, OSError):
        number = metadata.version(DISTRIBUTION)
        if not (ROOT.parent / ".git").exists():
            return number
        describe = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
        commit = subprocess.run(describe, capture_output=True, text=True).stdout.strip()
        return f"{number}, commit {commit}" if commit else number
    return "unknown version"


def damaged_copies() -> Iterator[Path]:
    """Copies whose files are not those that they were made with."""
    for folder in COPIES.glob(DIGITS * "[0-9a-f]"):
        paths = [path for path in folder.rglob("*") if path.is_file() and BYTECODE not in path.parts]
        files: Files = {path.relative_to(folder).as_posix(): path for path in paths}
        if copy_path(files) != folder.absolute():
            yield folder


def _is_copy(path: Path, file: bytes | Path) -> bool:
    return (isinstance(file, Path) and path.samefile(file)) or path.read_bytes() == _content(file)


def is_whole(folder: Path, files: Files) -> bool:
    """Whether a copy has these files and, but for bytecode, nothing else."""
    names = {name for file in files for name in (Path(file), *Path(file).parents)}
    with suppress(OSError):
        if any(path.relative_to(folder) not in names for path in folder.rglob("*") if BYTECODE not in path.parts):
            return False
        return all(_is_copy(folder / name, file) for name, file in files.items())
    return False


def made_by(roots: Iterable[str], copy: dict[str, str]) -> dict[str, Any]:
    """What the record of a result says of its code: the digest of each module, and its copy (`named_copy`)."""
    return {"modules": digests(PROJECT.closure(roots))} | copy


def named_copy(files: Files) -> dict[str, str]:
    """The name and the version of the copy with these files, which is kept now if it is not yet."""
    return {"copy": keep_copy(files).name, "version": version()}


def edited_modules(made: dict[str, Any], roots: Iterable[str]) -> list[str]:
    """The modules that differ between the code that made a result (`made_by`) and today's, by name."""
    then, now = made["modules"], digests(PROJECT.closure(roots))
    return sorted(name for name in {*then, *now} if then.get(name) != now.get(name))


def difference(copy: str, module: str) -> list[str]:
    """What an edit changed in a module since a copy, as digests see it: a unified diff without comments and docstrings.

    InputError if the copy is not here.
    """
    folder = COPIES / copy
    if not folder.is_dir():
        raise InputError(f"{folder}, which has the earlier lines, is not here")
    then = Code(folder, inside=[path.stem for path in folder.iterdir()])
    with readable(f"{folder}: {module} cannot be read"):  # it may come with results of others
        before, after = (code.source(module).splitlines() for code in (then, PROJECT))
    old, new = (str(code.file(module) or f"{module}, missing") for code in (then, PROJECT))
    return list(unified_diff(before, after, old, new, lineterm=""))
