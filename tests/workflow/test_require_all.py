"""Skips are reported, and fail under REQUIRE_ALL."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
IN_A_TEST = "def test_cluster():\n    pytest.skip('no Slurm here')\n"
IN_A_FIXTURE = f"@pytest.fixture\n{IN_A_TEST.replace('test_', '')}\ndef test_cluster(cluster):\n    pass\n"
WHOLE_FILE = "pytest.skip('no Slurm here', allow_module_level=True)\n"


def outcome(folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(f"import pytest\n{code}")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  gpu\n  tex\n")
    variables = {name: value for name, value in os.environ.items() if name != "REQUIRE_ALL"}
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", "-p", "require_all"]
    variables |= {"PYTHONPATH": str(TESTS)} | environment
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


@pytest.mark.parametrize("code", [IN_A_TEST, IN_A_FIXTURE, WHOLE_FILE], ids=["test", "fixture", "file"])
def test_a_skip_fails_where_everything_is_required_and_gives_its_reason(tmp_path: Path, code: str) -> None:
    done = outcome(tmp_path, code)
    assert "1 skipped" in done.stdout and "no Slurm here" in done.stdout
    required = outcome(tmp_path, code, REQUIRE_ALL="1")
    assert required.returncode != 0
    assert "REQUIRE_ALL is set, and this was not run: Skipped: no Slurm here" in required.stdout
    assert "skipped" not in required.stdout.splitlines()[-1]


@pytest.mark.parametrize("mark", ["gpu", "tex"])
def test_tests_that_need_a_gpu_or_latex_do_not_fail(tmp_path: Path, mark: str) -> None:
    done = outcome(tmp_path, f"@pytest.mark.{mark}\n{IN_A_TEST}", REQUIRE_ALL="1")
    assert done.returncode == 0 and "1 skipped" in done.stdout
