"""Fill the estimated hours and memory of docs/reference.md and docs/one-gpu.md; `page_numbers.py` fills sentences.

python tools/estimates.py [--check]
"""

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml
from bright_pipeline.config.root import load_config, read_config
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.engine.jobs import Job, closure, targets
from bright_pipeline.estimation.devices import DEVICES, Device, choose_device
from bright_pipeline.estimation.prices import JobPrice
from bright_pipeline.estimation.report import Estimate, text
from bright_pipeline.stages.common import Jobs

ROOT = Path(__file__).parents[1]
REFERENCE, ONE_GPU = ROOT / "docs" / "reference.md", ROOT / "docs" / "one-gpu.md"
COMMAND = "bright estimate config/paper.yaml --device a100 --gpus 8 --all-networks"
CARDS = {"A100": DEVICES["a100"], "RTX 4090": DEVICES["rtx4090"], "RTX 3090": DEVICES["rtx3090"]}
SMALL_CARDS = {name: CARDS[name] for name in ("RTX 4090", "RTX 3090")}
SMALL_CARDS["8 GB that reach 9 TFLOP/s"] = choose_device("card-8gb", 9)
STAGES = ("train_autoencoder", "train_diffusion", "generate")
DISK = {64: "5 GB", 128: "6 GB"}  # of 20,000 training images


def gpu_hours(prices: Iterable[JobPrice], device: Device) -> tuple[float, float]:
    """GPU-hours of these jobs on a device, by their operations."""
    low, high = sum(device.seconds(cost) for one in prices for cost in one.costs) / 3600
    return low, high


def paper_estimate() -> tuple[Jobs, Estimate]:
    """The jobs of the paper's config, and their estimate as COMMAND makes it."""
    plan = Jobs(read_config(ROOT / "config" / "paper.yaml"), every_network=True)
    return plan, Estimate(plan, "config/paper.yaml", DEVICES["a100"], gpus=8)


def hours_of_tables(plan: Jobs, estimate: Estimate) -> str:
    """GPU-hours behind each table of the paper, two columns for each card: training, generation and evaluation."""
    prices = {one.shard.key: one for one in estimate.prices if one.shard.job.stage.gpu}

    def behind(job: Job, keep: Callable[[Job], bool] = lambda job: True) -> set[Any]:
        keys = {one.key for one in closure([job]) if keep(one)}
        return {key for key, one in prices.items() if one.shard.job.key in keys}

    tables = {job.label: job for job in plan(targets)}
    bright = {f"autoencoders.{name}" for name, entry in plan.config.autoencoders.items() if entry.family == "bright"}
    rows = {f"Table {number}": behind(tables[f"table{number}"]) for number in (2, 4, 5, 6, 7, 8)}
    rows["BRIGHT's rows of Table 2"] = behind(tables["table2"], lambda job: job.entry.partition(" ")[0] in bright)
    rows["BRIGHT's row of Table 5 or 6"] = behind(tables["text_10k"])
    rows["Tables 4, 7 and 8 together"] = rows["Table 4"] | rows["Table 7"] | rows["Table 8"]
    cells = [
        [f"{end:,.0f}" for card in CARDS.values() for end in gpu_hours((prices[key] for key in used), card)]
        for used in rows.values()
    ]
    heading = [f"{name} at {end}" for name in CARDS for end in ("least", "most")]
    return _table(["rows", *heading], [[name, *numbers] for name, numbers in zip(rows, cells, strict=True)])


def one_gpu_table(page: str) -> str:
    """Hours and memory of the page's config, at 128 pixels and as it says for 64."""
    (config,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    small = config
    for key, value in re.findall(r"`(\w+): (\w+)`", page.partition("For 64 pixels, set ")[2].partition(".")[0]):
        small = re.sub(rf"\b{key}: \w+", f"{key}: {value}", small)
    rows = []
    for pixels, settings in ((64, small), (128, config)):
        estimate = Estimate(Jobs(load_config(yaml.safe_load(settings))), "one-gpu.yaml", DEVICES["rtx3090"], 1)
        memory = max(one.gib for one in estimate.prices if one.gib is not None)
        for name, card in SMALL_CARDS.items():
            hours = []
            for stage in STAGES:
                low, high = gpu_hours((one for one in estimate.prices if one.shard.job.stage.name == stage), card)
                hours.append(f"{low:.2g} to {high:.2g} h" if low < high else f"{low:.2g} h")
            rows.append([str(pixels), name, *hours, f"{memory:.1f} GiB", DISK[pixels]])
    return _table(["pixels", "GPU", "autoencoder", "diffusion model", "samples", "GPU memory", "disk"], rows)


def filled_pages() -> dict[Path, str]:
    """The text of both pages."""
    plan, estimate = paper_estimate()
    reference, page = (path.read_text(encoding="utf-8") for path in (REFERENCE, ONE_GPU))
    page = _with_block(page, "one_gpu", one_gpu_table(page))
    return {
        REFERENCE: _with_block(reference, "estimate", f"```console\n$ {COMMAND}\n{text(estimate)}\n```"),
        ONE_GPU: _with_block(page, "hours", hours_of_tables(plan, estimate)),
    }


def _table(heading: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [heading, *rows]).replace(
        "\n", f"\n{'|---' * len(heading)}|\n", 1
    )


def _with_block(page: str, name: str, content: str) -> str:
    before, begin, rest = page.partition(f"<!-- table {name} -->\n")
    return before + begin + content + "\n" + rest[rest.index("<!-- end -->") :]


if __name__ == "__main__":
    for path, filled in filled_pages().items():
        if "--check" not in sys.argv:
            write_text(path, filled)
        elif filled != path.read_text(encoding="utf-8"):
            sys.exit(f"{path.relative_to(ROOT)}: other estimates; run python tools/estimates.py")
