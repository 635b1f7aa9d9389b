"""The engine serves another paper: a workflow of two stages without images, run by Snakemake."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PAPER = Path(__file__).parent / "letters_paper"
SOURCE = Path(__file__).parents[2] / "pipeline"

pytestmark = pytest.mark.slow


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    """A copy of the paper's folder, with two texts."""
    folder = shutil.copytree(PAPER, tmp_path / "paper")
    (folder / "texts").mkdir()
    (folder / "texts" / "first.txt").write_text("Abba")
    (folder / "texts" / "second.txt").write_text("cab")
    return folder


def made(paper: Path, expect: int = 0) -> list[str]:
    """Run Snakemake; the names of the stages that it started, or the last line of an error."""
    command = ["snakemake", "--cores", "1", "--rerun-triggers", "mtime", "--nocolor"]
    paths = os.pathsep.join((str(paper), str(SOURCE)))
    done = subprocess.run(command, cwd=paper, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode == expect, done.stdout + done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    if expect:
        return [line for line in lines if "damaged" in line]
    started = (line.split() for line in lines if line.startswith(("rule ", "localrule ")))
    return [name.rstrip(":") for _, name in started if name != "all:"]


def test_content_decides_what_runs_and_damage_is_reported(paper: Path) -> None:
    assert sorted(made(paper)) == ["compare_counts", "count_letters", "count_letters"]
    (table,) = paper.glob("results/store/comparisons/*/table.csv")
    assert table.read_text() == "text,a,b,c\nfirst,2,2,0\nsecond,1,1,1\n"
    assert "table.csv" in (table.parent / "SHA256SUMS").read_text()

    (paper / "texts" / "first.txt").touch()
    module = paper / "letters" / "count_letters.py"
    module.write_text(f"# A comment.\n{module.read_text()}")
    assert made(paper) == []

    (paper / "texts" / "second.txt").write_text("c")
    assert sorted(made(paper)) == ["compare_counts", "count_letters"]
    module.write_text(module.read_text() + "\n\nANOTHER_NUMBER = 1\n")
    assert sorted(made(paper)) == ["compare_counts", "count_letters", "count_letters"]

    for file in paper.glob("results/store/counts/*/counts.json"):
        file.write_text("{}")
    assert "bytes, should be" in made(paper, expect=1)[0]
