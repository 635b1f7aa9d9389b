"""What trainings, encoding, decoding and sampling ask of a GPU at the paper's sizes; of a GPU that is not there.

`bright cost` runs each model's own code on a device whose tensors have no numbers. A tensor on the wrong device, or a
value that the host would wait for, ends that.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from snakemake.utils import update_config

from pipeline.config.root import load_config
from pipeline.estimation.devices import choose_card
from pipeline.estimation.fitting import memory_warnings, training_costs, trainings

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "config" / "paper.yaml"
ONE_GPU = ROOT / "config" / "paper-one-gpu.yaml"
GIBI = 2**30
TAKE_MOST = ["autoencoders.ffhq-16x16x16", "autoencoders.ffhq-rqvae", "diffusions.ffhq-ldm"]


class Limit(NamedTuple):
    """What a step may take: device operations, and GiB that it keeps for its backward pass."""

    operations: int
    kept_gib: float
    decode: int = 300
    """Operations of decoding four images."""
    to_device: int = 2
    """Copies to the device: of the batch, and of constants."""


LIMITS = {
    "autoencoders.ffhq-64x64x4": Limit(2450, 31, decode=250),
    "autoencoders.ffhq-rqvae": Limit(1700, 57),
    "autoencoders.church-kl-bf16": Limit(1850, 24),
    "diffusions.ffhq": Limit(1700, 56),
    "generators.ffhq-stylegan2": Limit(5400, 20, to_device=5),
}
SLOW_LIMITS = {
    "autoencoders.ffhq-16x16x16": Limit(2700, 32, decode=250),
    "autoencoders.ffhq-64x64x4-bf16": Limit(3150, 21, decode=250),
    "autoencoders.ffhq-vqgan": Limit(1550, 21),
    "diffusions.ffhq-bf16": Limit(2650, 45),
    "generators.ffhq-imagebart": Limit(3800, 20),
    "generators.church-ddpm": Limit(1800, 126),
}
USES = {"encode": 200, "sample": 360}
"""Operations for four images."""
STEPS = 1180  # operations of two steps of a sampler, the noise of DDPM with them


def counted(folder: Path, entries: list[str]) -> dict[str, dict[str, Any]]:
    """What `bright cost` counts for entries of the paper's config in float32, and in bf16 by another name.

    Each batch is taken at once, and nothing is computed again. In a process of its own.
    """
    values = yaml.safe_load(PAPER.read_text(encoding="utf-8"))
    for section in ("autoencoders", "diffusions", "generators"):
        for name in list(values[section]):
            kept = values[section][name].get("execution", {}).get("keep_every", 0)  # others' entries are snapshots
            values[section][name]["execution"] = {"precision": "fp32", "keep_every": kept}
    for section, name in (("autoencoders", "ffhq-64x64x4"), ("autoencoders", "church-kl"), ("diffusions", "ffhq")):
        values[section][f"{name}-bf16"] = {"like": name, "execution": {"precision": "bf16"}}
    config, found = folder / "paper.yaml", folder / "costs.json"
    config.write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "pipeline.commands.cost", str(config), *entries, "--json", str(found)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {one["entries"][0]: one for one in json.loads(found.read_text())["trainings"]}


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return counted(tmp_path_factory.mktemp("costs"), list(LIMITS))


def check(cost: dict[str, Any], limit: Limit) -> None:
    assert cost["problem"] is None
    step, told = cost["cost"]["step"], cost["entries"][0]
    print(told, step, {name: use["operations"] for name, use in cost["cost"]["uses"].items()})
    assert 0.5 * limit.operations < step["operations"] <= limit.operations, told
    assert 0.5 * limit.kept_gib < step["kept"] / GIBI <= limit.kept_gib, told
    assert step["to_host"] == 0
    assert step["to_device"] <= limit.to_device
    weights = cost["cost"]["weights"]
    assert step["kept"] + weights / 2 < step["peak"] < 1.2 * step["kept"] + 2 * weights + GIBI, told
    for name, use in cost["cost"]["uses"].items():
        assert use["operations"] <= (USES | {"decode": limit.decode}).get(name, STEPS), (told, name)
        assert use["to_host"] == 0
        assert use["kept"] == 0


@pytest.mark.parametrize("entry", LIMITS)
def test_a_training_step_stays_within_its_launches_and_memory(entry: str, costs: dict[str, dict[str, Any]]) -> None:
    check(costs[entry], LIMITS[entry])


@pytest.mark.slow
def test_steps_of_further_models_stay_within_theirs(tmp_path: Path) -> None:
    found = counted(tmp_path, list(SLOW_LIMITS))
    for entry, limit in SLOW_LIMITS.items():
        check(found[entry], limit)


@pytest.mark.slow
def test_one_card_of_24_gb_has_room_for_the_trainings_of_the_paper_that_take_most() -> None:
    """Batches in parts, blocks computed again and 16 bits, as the config has them; with all eight GPUs in one."""
    values = yaml.safe_load(PAPER.read_text(encoding="utf-8"))
    update_config(values, yaml.safe_load(ONE_GPU.read_text(encoding="utf-8")))  # as --configfile does with two
    config = load_config(values)
    assert {entry for entry, one in trainings(config).items() if one.execution.processes > 1} == set()
    rtx3090 = choose_card("rtx3090")
    for one in training_costs(config, TAKE_MOST):
        print(one.entries, one.peak_gib)
        assert one.fits(rtx3090), f"{one.entries}: {one.peak_gib} GiB"
        assert one.peak_gib > 0.75 * rtx3090.memory_gib, f"{one.entries} does not take most"


@pytest.mark.slow
def test_a_run_is_told_which_of_its_trainings_a_card_has_no_room_for() -> None:
    values = yaml.safe_load(PAPER.read_text(encoding="utf-8"))
    values["autoencoders"]["church-kl"]["execution"] = {"precision": "fp32"}
    entries = ["autoencoders.church-vqgan", "autoencoders.church-kl"]
    (line,) = memory_warnings(load_config(values), entries, "rtx3090")
    assert line.startswith("autoencoders.church-kl: a step needs about ")
