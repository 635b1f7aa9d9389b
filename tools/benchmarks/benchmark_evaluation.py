"""All generation metrics of two sets against one reference: through stored features, and by two libraries.

    PYTHONPATH=tests python tools/benchmarks/benchmark_evaluation.py [--count 300] [--threads 2]

`bright evaluate` with intervals is compared with torch-fidelity's FID, IS, precision and recall, and clean-fid's FID
and CLIP-FID, on the same images and networks (true architectures, random weights) on a CPU. Both must give the same
values. The second set finds the reference's features in the store: it must take at most 1 / 1.8 of the CPU seconds.
"""

import json
import os
import tempfile
import time
from contextlib import chdir
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from bright_pipeline.commands.evaluate import evaluate
from bright_pipeline.evaluation.summary import read_summary
from reference_metrics import BATCH, pictures, reference_metrics, save_networks

BAR = 1.8
RELATIVE = 1e-4


def ours(generated: Path, reference: Path, networks: Path, threads: int) -> dict[str, float]:
    """Every metric by space and name, from the summaries."""
    settings = {"networks": ["inception", "clip", "vgg16"], "micro_batch": BATCH, "cpu_threads": threads}
    evaluate(generated, reference, settings=json.dumps(settings), networks=networks)
    found = {}
    for path in Path("results", "evaluations", generated.name).glob("summary-*.json"):
        found |= read_summary(path).numbers
    return found


def benchmark(
    count: Annotated[int, typer.Option(help="Images of each set.")] = 300,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
) -> None:
    """Print both ratios."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        networks, reference = save_networks(Path("networks")), pictures(Path("reference"), count, 0)
        for name, seed in (("first", 1), ("second", 2)):
            generated = pictures(Path(name), count, seed, contrast=0.9)
            started, worked = time.perf_counter(), time.process_time()
            found = ours(generated, reference, networks, threads)
            between, worked_between = time.perf_counter(), time.process_time()
            expected = reference_metrics(generated, reference, networks)
            seconds, cpu = between - started, worked_between - worked
            library_seconds, library_cpu = time.perf_counter() - between, time.process_time() - worked_between
            for metric, value in expected.items():
                if not np.isclose(found[metric], value, rtol=RELATIVE):
                    raise SystemExit(f"{name} set, {metric}: {found[metric]}, the library has {value}")
            ratio = library_cpu / cpu
            print(
                f"{name} set of {count}: {len(expected)} metrics equal; stored features {seconds:.0f} s"
                f" ({cpu:.0f} CPU seconds), libraries {library_seconds:.0f} s ({library_cpu:.0f}):"
                f" {ratio:.2f} times as fast by CPU seconds, {library_seconds / seconds:.2f} by the clock",
                flush=True,
            )
    if ratio < BAR:
        raise SystemExit(f"the second set is {ratio:.2f} times as fast, should be at least {BAR}")


if __name__ == "__main__":
    typer.run(benchmark)
