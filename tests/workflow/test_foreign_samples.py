"""A config with only another program's samples: a measured row, and an evaluation that resumes after a kill."""

import csv
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tiny_workflow import TINY, Workflow, empty_workflow

pytestmark = pytest.mark.slow

COUNT, SHARD = 16, 8


@pytest.fixture
def scoring(tmp_path: Path, networks_folder: Path) -> Workflow:
    """The tiny dataset, no model, and a folder of 16 pictures in place of StyleGAN2's."""
    workflow = empty_workflow(tmp_path / "run", networks_folder)
    theirs = workflow.folder / "theirs"
    theirs.mkdir()
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        coarse = rng.integers(0, 256, (4, 4), dtype=np.uint8)
        Image.fromarray(coarse.repeat(8, 0).repeat(8, 1)).save(theirs / f"seed{index:04d}.png")
    tiny = yaml.safe_load(TINY.read_text())
    samples = {"kind": "files", "path": "theirs", "dataset": "tiny", "method": "StyleGAN2", "count": COUNT}
    evaluation = {"networks": ["efficientnet_lite0"], "reference": "validation", "shard": SHARD, "micro_batch": SHARD}
    evaluation |= {"reference_count": COUNT}
    config = {"run": "theirs", "datasets": tiny["datasets"], "autoencoders": {}, "samples": {"theirs": samples}}
    config |= {"evaluation": evaluation, "tables": {"table5": {"rows": ["theirs"]}}}
    (workflow.folder / "config.yaml").write_text(yaml.safe_dump(config))
    return workflow


def features(workflow: Workflow) -> dict[Path, tuple[int, int]]:
    """The finished ranges of features, each with its time and inode."""
    found = (workflow.folder / "results" / "store" / "features").rglob("features-*.npz")
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in found}


def test_a_run_killed_in_its_evaluation_makes_no_finished_range_again(scoring: Workflow) -> None:
    process = scoring.start("--cores", "1", "--", "table5", start_new_session=True)
    while not features(scoring):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = features(scoring)
    ranges = 2 * COUNT // SHARD  # of the samples, and of as many validation images
    assert 1 <= len(kept) < ranges
    scoring.run("--unlock")
    again = scoring.run("--", "table5")
    assert again.jobs["extract_features"] == ranges - len(kept)
    assert {path: facts for path, facts in features(scoring).items() if path in kept} == kept
    table = (scoring.folder / "results" / "theirs" / "tables" / "table5.csv").read_text()
    (row,) = (row for row in csv.DictReader(table.splitlines()) if row["name"] == "theirs")
    assert (row["method"], row["dataset"], row["source"]) == ("StyleGAN2", "tiny", "measured")
    assert float(row["fd_efficientnet_lite0_measured"]) > 0
    assert f'"count": {COUNT}' in row["measured_protocol"]
