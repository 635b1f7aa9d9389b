"""The copy of the code from which jobs start: whole or missing, made once, repaired, or one line that says why not."""

import errno
import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bright_pipeline.base.errors import InputError, error_line
from bright_pipeline.engine import code_copy
from bright_pipeline.engine.code import ROOT, Code
from bright_pipeline.engine.code_copy import (
    COPIES,
    code_files,
    copy_path,
    damaged_copies,
    difference,
    is_whole,
    keep_copy,
)


@pytest.fixture
def folder(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two families outside the package: one in a package with data, one in a file of its own."""
    mine = own_folder / "mine"
    mine.mkdir()
    for name in ("__init__.py", "family.py", "numbers.csv", ".hidden"):
        (mine / name).write_text(f"# {name}\n")
    (own_folder / "alone.py").write_text("ONE = 1\n")
    monkeypatch.syspath_prepend(own_folder)
    monkeypatch.setattr(code_copy, "PROJECT", Code())
    return own_folder


def test_a_copy_has_the_package_and_the_packages_of_families_and_is_read_only(folder: Path) -> None:
    copy = keep_copy(code_files(["mine", "alone"]))
    assert copy.parent == folder / COPIES
    assert sorted(path.name for path in copy.iterdir()) == ["alone.py", "bright_pipeline", "mine"]
    assert sorted(path.name for path in (copy / "mine").iterdir()) == ["__init__.py", "family.py", "numbers.csv"]
    package = ROOT / "bright_pipeline"
    for path in (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        assert (copy / "bright_pipeline" / path.relative_to(package)).read_bytes() == path.read_bytes()
    assert all(path.stat().st_mode & 0o222 == 0 for path in copy.rglob("*.py"))
    images = "data/embedded/openclipart/openclipart.zip"
    assert (copy / "bright_pipeline" / images).samefile(package / images), "large data take no space again"
    script = "import mine.family, alone, bright_pipeline.stages; print(mine.family.__file__, bright_pipeline.__file__)"
    environment = os.environ | {"PYTHONPATH": str(copy)}
    said = subprocess.run([sys.executable, "-P", "-c", script], env=environment, text=True, capture_output=True).stdout
    assert said.split() == [f"{copy}/mine/family.py", f"{copy}/bright_pipeline/__init__.py"]


def test_one_copy_for_each_content_and_a_damaged_one_is_made_again(folder: Path) -> None:
    first = keep_copy(code_files(["mine"]))
    moment = first.stat().st_mtime_ns
    assert keep_copy(code_files(["mine"])) == first and first.stat().st_mtime_ns == moment
    (folder / "mine" / "family.py").write_text("OTHER = 1\n")
    second = keep_copy(code_files(["mine"]))
    assert second != first and (first / "mine" / "family.py").read_text() == "# family.py\n"
    for spoil in (Path.unlink, lambda path: path.write_text("cut")):
        module = next(path for path in (second / "bright_pipeline" / "models").glob("*.py"))
        module.chmod(0o644)
        spoil(module)
        assert list(damaged_copies()) == [second.relative_to(folder)]
        assert keep_copy(code_files(["mine"])) == second
        assert module.read_bytes() == (ROOT / module.relative_to(second)).read_bytes()
        assert not list(damaged_copies())


def test_a_copy_that_is_killed_or_finds_no_space_leaves_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = code_files([])
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name == "excluded_from_digest.yaml":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError) as raised:
        keep_copy(files)
    assert "no space left" in str(error_line(raised.value))
    assert not list(COPIES.iterdir())
    monkeypatch.undo()
    os.chdir(folder)
    (COPIES / ".0123456789ab.12345678.partial").mkdir()  # of a killed process
    assert keep_copy(files).is_dir()


def test_of_two_runs_at_once_both_have_the_copy(folder: Path) -> None:
    files = code_files([])
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda number: keep_copy(files), range(8)))
    assert made == {copy_path(files)} == set(COPIES.absolute().iterdir())


def test_what_cannot_be_copied_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"^nowhere: no folder or file with its code"):
        code_files(["nowhere"])
    with (folder / "mine" / "images.zip").open("wb") as file:
        file.truncate(code_copy.LARGEST_BYTES + 1)
    with pytest.raises(InputError, match=r"^mine: has .* keep data outside of the package$"):
        code_files(["mine"])
    archive = shutil.make_archive(str(folder / "zipped"), "zip", ROOT, "bright_pipeline/engine")
    assert zipfile.is_zipfile(archive)
    monkeypatch.setattr(code_copy, "PROJECT", Code(Path(archive)))
    with pytest.raises(InputError, match=r"^bright_pipeline: no folder or file with its code at .*zipped\.zip"):
        code_files([])


def test_a_difference_has_the_lines_that_digests_see_and_no_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = folder / "mine" / "family.py"
    family.write_text('"""One."""\nimport mine.helper\n\n\ndef double(x):\n    """Twice."""\n    return x * 2\n')
    copy = keep_copy(code_files(["mine"]))
    family.write_text('"""A family."""\nimport mine.helper\n\ndef double(x):  # of numbers\n    return x + 2\n')
    monkeypatch.setattr(code_copy, "PROJECT", Code())
    lines = difference(copy.name, "mine.family")
    assert lines[:2] == [f"--- {COPIES / copy.name}/mine/family.py", f"+++ {family}"]
    assert [line for line in lines[2:] if line[0] in "-+"] == ["-    return x * 2", "+    return x + 2"]
    with pytest.raises(InputError, match=r"^results/code/0123456789ab, which has the earlier lines, is not here$"):
        difference("0123456789ab", "mine.family")
    (copy / "mine" / "family.py").chmod(0o644)
    (copy / "mine" / "family.py").write_text("(" * 10_000)
    with pytest.raises(InputError, match=r"family\.py, line 1: .*; no digest of this code$"):
        difference(copy.name, "mine.family")


@pytest.mark.parametrize("planted", ["typer.py", "bright_pipeline/engine/__pycache__/code.py", "typer"])
def test_what_a_pulled_copy_has_besides_never_runs(folder: Path, planted: str) -> None:
    """A copy comes first on the search path of all jobs, and results of others may bring one."""
    copy = keep_copy(code_files([]))
    path = copy / planted
    if "." in planted:
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise SystemExit('not this code')")
    else:
        path.symlink_to(folder / "mine")
    assert keep_copy(code_files([])) == copy
    assert not path.exists() and not list(copy.rglob("__pycache__"))
    assert is_whole(copy, code_files([]))
