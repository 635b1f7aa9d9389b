"""The GPU check reports a wrong kernel, a wrong precision, a slow card and a broken workflow; here on the CPU."""

import json
import os
from pathlib import Path

import forkserver
import gpu_check
import pytest
import torch
from bright_pipeline.config.root import Config, load_config
from bright_pipeline.engine.jobs import Use
from bright_pipeline.estimation.devices import CPU, DEVICES, Device
from finished_plan import tiny_values
from torch import Tensor

pytestmark = [pytest.mark.gpu, pytest.mark.slow, pytest.mark.usefixtures("own_folder")]

HERE, CARD = torch.device("cpu"), DEVICES[CPU]
SLOW = Device("slow", 1e-6, 1e-6, 1e-6, 1, "slow", plain=(0.25, 0.75))  # its estimates are long
FAST = Device("fast", 1e6, 1e6, 1e6, 1, "fast", plain=(0.25, 0.75))


def config() -> Config:
    values = tiny_values()
    values["evaluation"]["micro_batch"] = 4
    values["diffusions"]["main"]["execution"] = {"precision": "bf16"}
    return load_config(values)


def checked(card: Device = SLOW, precision: str = "bf16") -> gpu_check.Report:
    """The check of the tiny diffusion model's denoising."""
    report, settings = gpu_check.Report(), config()
    use = Use("denoise", settings.diffusions["main"], 4, 4, precision)
    gpu_check.check_output(report, settings, "diffusions.main", use, HERE, card)
    return report


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_right_model_works(precision: str) -> None:
    report = checked(precision=precision)
    assert (report.works, report.problems) == ([f"denoise diffusions.main in {precision}"], [])
    assert report.shares[f"denoise {precision}"][0] > 0


def test_the_cpu_s_reference_does_not_launch_kernels_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bright_pipeline.models.retrieval_triton.launch", None)
    report, settings = gpu_check.Report(), config()
    use = Use("decode", settings.autoencoders["main"], 4, 4)
    gpu_check.check_output(report, settings, "autoencoders.main", use, HERE, SLOW)
    assert (report.works, report.problems) == (["decode autoencoders.main in fp32"], [])


def test_a_wrong_kernel_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A normalization that is wrong in 16 bits alone, as the CPU's float32 is the reference."""
    right = torch.nn.functional.silu

    def wrong(features: Tensor, inplace: bool = False) -> Tensor:
        return right(features) + (0.3 if torch.is_autocast_enabled("cpu") else 0)

    monkeypatch.setattr("torch.nn.functional.silu", wrong)
    (problem,) = checked().problems
    assert "from float32 on the CPU, more than 1e-01" in problem


def test_a_wrong_precision_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bright_pipeline.models.autoencoder.HALF", {})
    (problem,) = checked().problems
    assert problem.endswith("it was not computed in bf16")


def test_a_card_that_is_too_slow_is_reported() -> None:
    (problem,) = checked(FAST).problems
    assert problem.startswith("speed of denoise diffusions.main in bf16: ")
    assert problem.endswith("times as slow as the upper end of its estimate")


def test_the_whole_check_runs_the_workflow_the_trainings_and_writes_rates(
    networks_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("results").mkdir()
    Path("results/networks").symlink_to(networks_folder)
    monkeypatch.setenv("PATH", f"{forkserver.commands()}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(gpu_check, "VARIANTS", {"": {}, "channels_last": {"channels_last": True}})  # no C++ compiler
    Path("one-table.json").write_text(json.dumps(tiny_values() | {"tables": {"table2": ["main"]}, "figures": {}}))
    monkeypatch.setattr(gpu_check, "WORKFLOW", Path("one-table.json"))  # tests of the workflow run all tables
    Path("small.json").write_text(config().model_dump_json())
    gpu_check.main("small.json")
    text = capsys.readouterr().out
    print(text)
    assert "the tiny workflow: as it should be" in text
    for entry in ("autoencoders.main in fp32", "diffusions.main in bf16"):
        assert f"train {entry}: as it should be" in text
        assert f"train {entry} with channels_last: as it should be" in text
    works, does_not, rates, memory, price = text.splitlines()[-5:]
    assert works.startswith("works: ") and does_not.startswith("does not: ") and memory == "memory: not measured"
    assert price.startswith("small.json will take ") and price.endswith(" hours on cpu")
    written = json.loads(Path("results/rates.json").read_text())["cpu"]
    assert {"train fp32", "train bf16", "decode fp32", "denoise bf16"} <= written.keys()
    assert all(0 < share < 10 for share in written.values()) and "denoise bf16" in rates
