"""Check this machine's GPU before a long run: what works, what does not, its rates, and what the run will cost.

    python tools/gpu_check.py [CONFIG]        # config/paper.yaml; ten minutes on one card

1. The tiny workflow runs with profiles/local: Snakemake, the launcher and its lease, every stage.
2. Each kind of model at the config's size: encoding, decoding and denoising in their own precision, against float32 on
   the CPU; then some steps of its training, plain, with channels_last and with compile. Seconds and memory are compared
   with the estimate. results/rates.json gets the measured rates, which `bright estimate` uses from then on.

Without a GPU the same code checks the CPU, at the size of a small config such as config/demo-all.yaml.
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState
from bright_pipeline.base.paths import NETWORKS
from bright_pipeline.config.root import Config, read_config
from bright_pipeline.engine.atomic import write_json
from bright_pipeline.engine.jobs import Use
from bright_pipeline.estimation import costs
from bright_pipeline.estimation.devices import GIBI, Device, choose_device, needed_gib
from bright_pipeline.estimation.prices import RATES
from bright_pipeline.estimation.report import Estimate, hours, total
from bright_pipeline.models.autoencoder import inference_precision
from bright_pipeline.models.checkpoints import pick_device
from bright_pipeline.models.metric_networks.manifest import PERCEPTUAL_NETWORKS, network_path
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.stages.common import Jobs
from bright_pipeline.training.loop import make_accelerator
from torch import Tensor

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".test/config/config.yaml"
# Relative differences of outputs from those in float32 on the CPU. PyTorch's convolutions in 32 bits use TF32 on a GPU.
# 16 bits that differ less than the smallest were not computed in 16 bits.
LARGEST = {"fp32": 5e-3, "tf32": 1e-2, "fp16": 2e-2, "bf16": 1e-1}
SMALLEST = {"fp16": 1e-6, "bf16": 1e-5}
COMPARED = 2  # images
STEPS = 3  # timed, after one that allocates and chooses kernels
VARIANTS: dict[str, dict[str, Any]] = {"": {}, "channels_last": {"channels_last": True}, "compile": {"compile": True}}


@dataclass
class Report:
    """What was found."""

    works: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    shares: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # by use and precision
    peaks: list[float] = field(default_factory=list)  # GiB, measured over estimated

    def add(self, what: str, problem: str | None) -> None:
        print(f"{what}: {problem or 'as it should be'}", flush=True)
        (self.works if problem is None else self.problems).append(what if problem is None else f"{what}: {problem}")


def kinds(config: Config) -> Iterator[tuple[str, Any]]:
    """The first entry of each family, and the first diffusion model."""
    seen = set()
    for section in ("autoencoders", "diffusions", "generators"):
        for name, settings in getattr(config, section).items():
            family = getattr(settings, "family", "diffusion")
            if family not in seen and settings.weights is None:
                seen.add(family)
                yield f"{section}.{name}", settings


def uses(config: Config, settings: Any) -> list[Use]:
    """What a trained model does, in the precision of its samples."""
    batch = config.evaluation.micro_batch
    if isinstance(settings, AutoencoderSettings):
        return [Use("encode", settings, batch, batch), Use("decode", settings, batch, batch)]
    precision = settings.execution.precision
    return [Use("denoise", settings, batch, batch, precision if precision in SMALLEST else "fp32")]


def output(config: Config, use: Use, device: torch.device, batch: int) -> Callable[[], Tensor]:
    """A call of an untrained model, the same on each device."""
    torch.manual_seed(0)
    call = costs.call_of(config, use._replace(batch=batch), device)

    def run() -> Tensor:
        with torch.no_grad(), inference_precision(use.precision, device):
            found: Any = call()
            return found if isinstance(found, Tensor) else found.sample

    return run


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of a call after a first one."""
    call()
    wait(device)
    started = time.perf_counter()
    for _ in range(STEPS):
        call()
    wait(device)
    return (time.perf_counter() - started) / STEPS


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def difference(found: Tensor, expected: Tensor) -> float:
    """The norm of the difference, relative to the expected output."""
    found, expected = found.double().cpu(), expected.double().cpu()
    return float((found - expected).norm() / expected.norm().clamp_min(1e-30))


def check_output(report: Report, config: Config, entry: str, use: Use, device: torch.device, card: Device) -> None:
    """Compare a model's output with float32 on the CPU, then time it at its own batch."""
    what = f"{use.work} {entry} in {use.precision}"
    exact = output(config, use._replace(precision="fp32"), torch.device("cpu"), COMPARED)()
    apart = difference(output(config, use, device, COMPARED)(), exact)
    problem = None
    if not apart <= LARGEST[use.precision]:
        problem = f"differs by {apart:.1e} from float32 on the CPU, more than {LARGEST[use.precision]:.0e}"
    elif apart < SMALLEST.get(use.precision, 0):
        problem = f"differs by {apart:.1e} from float32 on the CPU: it was not computed in {use.precision}"
    report.add(what, problem)
    check_price(report, config, what, use, card, lambda: timed(output(config, use, device, use.batch), device))


def check_price(
    report: Report, config: Config, what: str, use: Use, card: Device, measure: Callable[[], float], steps: float = 1
) -> None:
    """Compare seconds and memory with the estimate; steps: of which the cost consists."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        seconds = measure()
    except torch.OutOfMemoryError:
        report.add(what, "the card's memory is too small for its batch")
        return
    cost = costs.use_cost(config, use)
    cost = replace(cost, work=cost.work / steps)
    low, high = card.seconds(cost)
    peak = torch.cuda.max_memory_allocated() / GIBI if on_gpu else 0.0
    at_peak = replace(card, plain=(1.0, 1.0), measured={f"{use.work} {cost.precision}": 1.0})
    fastest, _ = at_peak.seconds(cost, use.work)
    report.shares[f"{use.work} {cost.precision}"].append(fastest * 1.2 / seconds)
    words = f"{seconds:.3g} s, estimated {low:.3g} to {high:.3g}"
    if on_gpu:
        words += f"; {peak:.1f} GiB, estimated {cost.peak / GIBI:.1f} ({needed_gib(cost):.1f} with the context)"
        report.peaks.append(peak / (cost.peak / GIBI))
    print(f"    {words}", flush=True)
    if seconds > high:
        report.add(f"speed of {what}", f"{seconds / high:.1f} times as slow as the upper end of its estimate")


def check_training(
    report: Report, config: Config, entry: str, settings: Any, device: torch.device, card: Device
) -> None:
    """Some steps on noise, plain and in both variants; the losses are finite and the weights move."""
    for name, changes in VARIANTS.items():
        execution = settings.execution.model_copy(update={"gpus": 1, "nodes": 1, **changes})
        own = settings.model_copy(update={"execution": execution})
        what = f"train {entry} in {execution.precision}{f' with {name}' if name else ''}"
        try:
            with tempfile.TemporaryDirectory() as folder:
                AcceleratorState._reset_state(True)  # accelerate keeps one precision for a process
                task = costs.make_task(config, own, perceptual(own), make_accelerator(execution, Path(folder)))
                before = [one.detach().clone() for one in task.model.parameters()]
                task.start(0)
                numbers = {key: float(value) for key, value in task.step(0).items()}
                moved = any(not torch.equal(one, now) for one, now in zip(before, task.model.parameters(), strict=True))
                finite = all(map(math.isfinite, numbers.values()))
                report.add(what, None if finite and (moved or task.skipped("model")) else f"{numbers}, moved: {moved}")
                step = iter(range(1, 100))
                measure = lambda task=task, step=step: timed(lambda: task.step(next(step)), device)  # noqa: E731
                if name:
                    print(f"    {measure():.3g} s a step with {name}", flush=True)
                else:
                    check_price(report, config, what, Use("train", own), card, measure, task.steps)
        except torch.OutOfMemoryError:
            report.add(what, "the card's memory is too small for its batch")
        except Exception as error:  # a variant may need a compiler
            report.add(what, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def perceptual(settings: Any) -> Path | None:
    """The file of a training's perceptual network."""
    if not isinstance(settings, AutoencoderSettings) or settings.losses.perceptual.network == "none":
        return None
    return network_path(PERCEPTUAL_NETWORKS[settings.losses.perceptual.network], NETWORKS)


def check_workflow(report: Report, on_gpu: bool) -> None:
    """The tiny workflow with profiles/local, in a folder of its own with the networks of this one."""
    with tempfile.TemporaryDirectory() as folder:
        NETWORKS.mkdir(parents=True, exist_ok=True)
        Path(folder, "results").mkdir()
        Path(folder, NETWORKS).symlink_to(NETWORKS.resolve())
        words = [
            "snakemake",
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--workflow-profile",
            str(ROOT / "profiles/local"),
        ]
        words += ["--configfile", str(WORKFLOW.resolve()), "--resources", f"gpu={int(on_gpu)}"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "error" in line.lower()]
        report.add("the tiny workflow", None if done.returncode == 0 else (lines or ["it failed"])[0])


def main(path: str = "config/paper.yaml") -> int:
    config, device = read_config(Path(path)), pick_device()
    card = choose_device(None, None) if device.type == "cpu" else known_card()
    report = Report()
    check_workflow(report, device.type == "cuda")
    for entry, settings in kinds(config):
        for use in uses(config, settings):
            check_output(report, config, entry, use, device, card)
        check_training(report, config, entry, settings, device, card)
    shares = {use: math.exp(sum(map(math.log, found)) / len(found)) for use, found in report.shares.items()}
    write_shares(card, shares)
    summarize(report, card, shares, path)
    return int(bool(report.problems))


def write_shares(card: Device, shares: dict[str, float]) -> None:
    """Add the measured shares of a card's peak to the file of rates."""
    rates = json.loads(RATES.read_text()) if RATES.exists() else {}
    RATES.parent.mkdir(parents=True, exist_ok=True)
    write_json(RATES, rates | {card.name: shares})


def known_card() -> Device:
    """This machine's GPU; one outside the table counts as an A100, whose rates it is compared with."""
    try:
        return choose_device(None, None)
    except Exception as error:
        print(f"{error}: compared with an A100")
        return choose_device("a100", None)


def summarize(report: Report, card: Device, shares: dict[str, float], path: str) -> None:
    """Five lines: what works, what does not, rates, memory, and the price of the config."""
    estimate = Estimate(Jobs(read_config(Path(path)), every_network=True), path, card, 1)
    price = hours(total(estimate.prices, of_gpus=card.is_gpu, whole=True))
    ratios = f"{min(report.peaks):.2f} to {max(report.peaks):.2f} of the estimate" if report.peaks else "not measured"
    print(f"\nworks: {len(report.works)} of {len(report.works) + len(report.problems)} checks")
    print(f"does not: {'; '.join(report.problems) or 'nothing'}")
    print(f"rates: {', '.join(f'{use} {share:.2%} of the peak' for use, share in shares.items())} of {card.name}")
    print(f"memory: {ratios}")
    print(f"{path} will take {price} {'GPU-hours' if card.is_gpu else 'hours'} on {card.name}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
