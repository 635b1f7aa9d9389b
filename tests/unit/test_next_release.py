"""The next release has more config keys: results of this one are found under it, where the keys say what was done."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from finished_plan import TINY

ROOT = Path(__file__).parents[2]
PLAN = """
import json, sys
from pathlib import Path
from pipeline.config.root import read_config
from pipeline.plan.shards import planned
from pipeline.stages.common import Jobs

jobs = Jobs(read_config(Path(sys.argv[1])), every_network=True)
print(json.dumps(sorted([job.stage.name, job.digest] for job in jobs(planned).values())))
"""
# Where the next release has a key more, behind which line: datasets, autoencoders of all families and BRIGHT's,
# diffusion models, samples, and how sets are scored.
SECTIONS = {
    "dataset.py": "class Dataset(Section):",
    "autoencoder.py": "class AutoencoderTraining(Section):",
    "first_stage.py": "class FirstStageNetwork(Section):",
    "diffusion.py": "class UNet(Section):",
    "evaluation.py": "class Evaluation(Section):",
}


def digests(checkout: Path, folder: Path) -> list[list[str]]:
    """The jobs that a checkout's code plans for the tiny config."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    command = [sys.executable, "-P", "-c", PLAN, str(TINY)]
    return json.loads(subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True).stdout)


def with_keys(checkout: Path, key: str) -> None:
    """Give each of these sections the key `toy`."""
    for file, line in SECTIONS.items():
        path = checkout / "pipeline" / "settings" / file
        head, found, rest = path.read_text().partition(f"{line}\n")
        assert found, file
        docstring, end, body = rest.partition('"""\n\n')
        path.write_text(f"from pipeline.settings.fields import added\n{head}{found}{docstring}{end}    {key}\n{body}")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("pipeline", "config"):
        shutil.copytree(ROOT / name, tmp_path / "next" / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "run").mkdir()
    return tmp_path / "next"


def test_results_are_found_after_keys_were_added(checkout: Path) -> None:
    before = digests(checkout, checkout.parent / "run")
    with_keys(checkout, 'toy: int = added(1, before=1, description="A toy.")')
    assert len(before) > 40
    assert digests(checkout, checkout.parent / "run") == before


def test_a_key_that_does_not_say_what_was_done_before_it_moves_them(checkout: Path) -> None:
    before = digests(checkout, checkout.parent / "run")
    with_keys(checkout, 'toy: int = added(2, before=1, description="A toy.")')
    after = digests(checkout, checkout.parent / "run")
    assert {stage for stage, _ in after} == {stage for stage, _ in before}
    assert not {digest for stage, digest in after if stage.startswith("train")} & {digest for _, digest in before}
