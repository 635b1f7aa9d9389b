"""Tests in several processes: what is made for a module, or once for all, is made in one of them."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
CONFTEST = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
import pytest
from conftest_of_all import pytest_collection_modifyitems
from made_once import made_once

@pytest.fixture(scope="session")
def once(tmp_path_factory):
    return made_once(tmp_path_factory, "once", lambda folder: (folder.mkdir(), told("made once")))

def told(what):
    with open("story", "a") as story:
        print(what, file=story)
"""
MODULE = """
import pytest
from conftest import told

@pytest.fixture(scope="module")
def costly():
    told("made for " + __name__)

@pytest.mark.parametrize("number", range(6))
def test_it(costly, once, number):
    told("run")
"""


def test_what_tests_share_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "conftest_of_all.py").write_text((TESTS / "conftest.py").read_text())
    for name in "abc":
        (tmp_path / f"test_{name}.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "--numprocesses=2", "--dist=loadgroup", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    story = (tmp_path / "story").read_text().splitlines()
    assert story.count("run") == 18
    assert sorted(set(story)) == [*sorted(line for line in story if line != "run"), "run"]
    assert set(story) == {"run", "made once", *(f"made for test_{name}" for name in "abc")}
