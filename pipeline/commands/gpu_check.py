"""Command: whether this machine's GPU trains, decodes and samples as it should, and how fast; needs no dataset.

Exit code 0 when nothing is wrong, 1 otherwise. Ten minutes on a GPU; on a CPU everything else at small sizes.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from pipeline.base.command import run_stage
from pipeline.base.errors import InputError
from pipeline.base.paths import RESULTS
from pipeline.evaluation.decoding_speed import machine
from pipeline.gpu_check import checks, speeds
from pipeline.gpu_check.findings import Finding, passed, write_report
from pipeline.gpu_check.sizes import Sizes, sizes
from pipeline.models.checkpoints import pick_device

CHECKS: dict[str, Callable[[torch.device, Sizes], Iterator[Finding]]] = {
    "retrieval": checks.check_strategies,
    "steps": checks.check_steps,
    "resume": checks.check_resume,
    "processes": checks.check_processes,
    "retrieval-speed": speeds.measure_retrieval,
    "decoding": speeds.measure_decoding,
    "sampling": speeds.measure_sampling,
}


def gpu_check(
    output: Annotated[Path, typer.Option(help="The folder that gets CARD.json and CARD.md.")] = RESULTS / "gpu-check",
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(CHECKS)}; several times.")] = None,
) -> None:
    """Check this machine's GPU against the readable code, and measure it; on a CPU, what can be checked there.

    All retrieval strategies are compared, every family makes a step in every precision, a training is killed and
    resumed, two processes are compared with one where there are two GPUs, and speeds are measured as ratios.
    """
    for name in only or ():
        if name not in CHECKS:
            raise InputError(f"--only: one of {', '.join(CHECKS)}, not {name}")
    device, started = pick_device(), time.monotonic()
    how = sizes(device.type == "cuda")
    if device.type != "cuda":
        print("No CUDA device: nothing here says anything of a GPU. Checked on the CPU, at the demo's sizes:")
    found: list[Finding] = []
    for name, check in CHECKS.items():
        for one in check(device, how) if not only or name in only else ():
            found.append(one)
            print(line(one), flush=True)
    facts = card_facts(device) | {"seconds": round(time.monotonic() - started)}
    written = write_report(output, facts, found)
    print(f"Written: {', '.join(map(str, written))}")
    if not passed(found):
        raise typer.Exit(1)


def line(finding: Finding) -> str:
    """A finding as the terminal shows it."""
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in finding.numbers.items())
    told = (f"{finding.state:12}", finding.check, finding.what, finding.note, numbers)
    return "  ".join(part for part in told if part)


def card_facts(device: torch.device) -> dict[str, Any]:
    """The card, and what it ran with."""
    on = machine(device)
    facts: dict[str, Any] = {"card": on["device"] if device.type == "cuda" else f"CPU {on['device']}"}
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory / 2**30
        facts |= {"GiB": round(memory, 1), "cards": torch.cuda.device_count(), "CUDA": torch.version.cuda}
    return facts | {"torch": torch.__version__, "date": datetime.now(UTC).date().isoformat()}


if __name__ == "__main__":
    run_stage(gpu_check)
