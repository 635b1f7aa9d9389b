"""The test session: skips are reported and fail under REQUIRE_ALL; shared fixtures are made in one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
IN_A_TEST = "def test_cluster():\n    pytest.skip('no Slurm here')\n"
IN_A_FIXTURE = f"@pytest.fixture\n{IN_A_TEST.replace('test_', '')}\ndef test_cluster(cluster):\n    pass\n"
WHOLE_FILE = "pytest.skip('no Slurm here', allow_module_level=True)\n"
EXPECTED_FAILURE = "@pytest.mark.xfail\ndef test_cluster():\n    assert False\n"
CONFTEST = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
import pytest
from conftest_of_all import pytest_collection_modifyitems
from made_once import made_once

@pytest.fixture(scope="session")
def once(tmp_path_factory):
    return made_once(tmp_path_factory, "once", lambda folder: (folder.mkdir(), log("made once")))

def log(line):
    with open("story", "a") as story:
        print(line, file=story)
"""
MODULE = """
import pytest
from conftest import log

@pytest.fixture(scope="module")
def costly():
    log("made for " + __name__)

@pytest.mark.parametrize("number", range(6))
def test_it(costly, once, number):
    log("run")
"""


def pytest_in(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name != "REQUIRE_ALL"} | environment
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


def outcome(folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(f"import pytest\n{code}")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  gpu\n  tex\n")
    return pytest_in(folder, "-p", "require_all", PYTHONPATH=str(TESTS), **environment)


@pytest.mark.parametrize("code", [IN_A_TEST, IN_A_FIXTURE, WHOLE_FILE], ids=["test", "fixture", "file"])
def test_a_skip_fails_where_everything_is_required_and_gives_its_reason(tmp_path: Path, code: str) -> None:
    done = outcome(tmp_path, code)
    assert "1 skipped" in done.stdout and "no Slurm here" in done.stdout
    required = outcome(tmp_path, code, REQUIRE_ALL="1")
    assert required.returncode != 0
    assert "REQUIRE_ALL is set, and this was not run: Skipped: no Slurm here" in required.stdout
    assert "skipped" not in required.stdout.splitlines()[-1]


@pytest.mark.parametrize("mark", ["gpu", "tex", "xfail"])
def test_tests_that_need_a_gpu_or_a_tex_and_expected_failures_do_not_fail(tmp_path: Path, mark: str) -> None:
    code = EXPECTED_FAILURE if mark == "xfail" else f"@pytest.mark.{mark}\n{IN_A_TEST}"
    done = outcome(tmp_path, code, REQUIRE_ALL="1")
    assert done.returncode == 0
    assert ("1 xfailed" if mark == "xfail" else "1 skipped") in done.stdout


def test_shared_fixtures_are_made_once_in_several_processes(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "conftest_of_all.py").write_text((TESTS / "conftest.py").read_text())
    for name in "abc":
        (tmp_path / f"test_{name}.py").write_text(MODULE)
    done = pytest_in(tmp_path, "--numprocesses=2", "--dist=loadgroup")
    assert done.returncode == 0, done.stdout
    story = (tmp_path / "story").read_text().splitlines()
    assert sorted(story) == sorted([*["run"] * 18, "made once", *(f"made for test_{name}" for name in "abc")])
