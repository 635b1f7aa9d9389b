"""`bright gpu-check` on a machine without a GPU."""

import json
from pathlib import Path

import pytest
import torch

from pipeline.commands.gpu_check import gpu_check

pytestmark = [pytest.mark.slow, pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")]


def test_everything_that_a_cpu_can_check_is_right(tmp_path: Path) -> None:
    gpu_check(tmp_path, None)
    (written,) = tmp_path.glob("cpu-*.json")
    found = json.loads(written.read_text())["findings"]
    states = {one["state"] for one in found}
    assert states == {"right", "measured", "not checked"}
    steps = [one["what"] for one in found if one["check"] == "training step"]
    assert len(steps) == 8 * 3
    (resumed,) = [one for one in found if one["check"] == "resume"]
    assert resumed["note"] == "the same bits"
    ratios = [one["numbers"]["BRIGHT / VQGAN"] for one in found if "BRIGHT / VQGAN" in one["numbers"]]
    assert len(ratios) == 4
    assert min(ratios) > 0
