"""Skips are reported, and fail under REQUIRE_ALL."""

import os
import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).parent
IN_A_TEST = "def test_cluster():\n    pytest.skip('no Slurm here')\n"
FILES = {
    "test": IN_A_TEST,
    "fixture": f"@pytest.fixture\n{IN_A_TEST.replace('test_', '')}\ndef test_cluster(cluster):\n    pass\n",
    "file": "pytest.skip('no Slurm here', allow_module_level=True)\n",
    "gpu": f"@pytest.mark.gpu\n{IN_A_TEST}",
    "tex": f"@pytest.mark.tex\n{IN_A_TEST}",
}


def outcome(folder: Path, **environment: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "require_all", "--continue-on-collection-errors"]
    variables = {name: value for name, value in os.environ.items() if name != "REQUIRE_ALL"}
    variables |= {"PYTHONPATH": str(TOOLS), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True).stdout


def test_a_skip_fails_where_everything_is_required_unless_it_needs_a_gpu_or_latex(tmp_path: Path) -> None:
    for name, code in FILES.items():
        (tmp_path / f"test_{name}.py").write_text(f"import pytest\n{code}")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  gpu\n  tex\n")
    told = outcome(tmp_path)
    assert "5 skipped" in told.splitlines()[-1] and told.count("no Slurm here") == 5, told
    required = outcome(tmp_path, REQUIRE_ALL="1")
    assert "1 failed, 2 skipped, 2 errors" in required.splitlines()[-1], required
    assert required.count("REQUIRE_ALL is set, and this was not run: Skipped: no Slurm here") >= 3
