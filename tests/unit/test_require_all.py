"""A skip is told, and under REQUIRE_ALL it fails the tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

IN_A_TEST = "def test_cluster():\n    pytest.skip('no Slurm here')\n"
IN_A_FIXTURE = (
    "@pytest.fixture\ndef cluster():\n    pytest.skip('no Slurm here')\n\ndef test_cluster(cluster):\n    pass\n"
)
WHOLE_FILE = "pytest.skip('no Slurm here', allow_module_level=True)\n"
ON_A_GPU = "@pytest.mark.gpu\ndef test_cluster():\n    pytest.skip('no Slurm here')\n"
FOUND_WANTING = "@pytest.mark.xfail\ndef test_cluster():\n    assert False\n"


def outcome(folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(f"import pytest\n{code}")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  gpu\n  tex\n")
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "require_all", "-p", "no:cacheprovider"]
    variables = {name: value for name, value in os.environ.items() if name != "REQUIRE_ALL"}
    variables |= {"PYTHONPATH": str(TESTS), **environment}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


@pytest.mark.parametrize("code", [IN_A_TEST, IN_A_FIXTURE, WHOLE_FILE], ids=["test", "fixture", "file"])
def test_a_skip_fails_where_everything_is_required_and_says_why(tmp_path: Path, code: str) -> None:
    done = outcome(tmp_path, code)
    assert "1 skipped" in done.stdout
    assert "no Slurm here" in done.stdout
    required = outcome(tmp_path, code, REQUIRE_ALL="1")
    assert required.returncode != 0
    assert "REQUIRE_ALL is set, and this was not run: Skipped: no Slurm here" in required.stdout
    assert "skipped" not in required.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("code", "counted"),
    [(ON_A_GPU, "1 skipped"), (ON_A_GPU.replace("gpu", "tex"), "1 skipped"), (FOUND_WANTING, "1 xfailed")],
    ids=["gpu", "tex", "xfail"],
)
def test_what_needs_a_gpu_or_a_tex_or_is_known_to_fail_stays(tmp_path: Path, code: str, counted: str) -> None:
    done = outcome(tmp_path, code, REQUIRE_ALL="1")
    assert done.returncode == 0
    assert counted in done.stdout
