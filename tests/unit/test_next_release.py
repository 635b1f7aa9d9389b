"""A release with more config keys finds this release's results, where the new keys mean the previous behaviour."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

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
# Where the next release has one more key: datasets, autoencoders of all families and BRIGHT's, diffusion models,
# samples, evaluation.
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


def test_results_are_found_unless_a_new_key_changes_the_behaviour(tmp_path: Path) -> None:
    checkout = tmp_path / "next"
    for name in ("pipeline", "config"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "run").mkdir()
    before = digests(checkout, tmp_path / "run")
    assert len(before) > 40
    texts = {checkout / "pipeline" / "settings" / file: line for file, line in SECTIONS.items()}
    for path, line in texts.items():
        head, found, rest = path.read_text().partition(f"{line}\n")
        assert found, path
        docstring, end, body = rest.partition('"""\n\n')
        key = 'toy: int = added(1, before=1, description="A toy.")'
        path.write_text(f"from pipeline.settings.fields import added\n{head}{found}{docstring}{end}    {key}\n{body}")
    assert digests(checkout, tmp_path / "run") == before
    for path in texts:
        path.write_text(path.read_text().replace("toy: int = added(1,", "toy: int = added(2,"))
    after = digests(checkout, tmp_path / "run")
    assert {stage for stage, _ in after} == {stage for stage, _ in before}
    assert not {digest for stage, digest in after if stage.startswith("train")} & {digest for _, digest in before}
