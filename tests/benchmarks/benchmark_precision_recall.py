"""Time and memory of precision and recall, 50,000 against 50,000 features of 4,096 dimensions on two CPU threads.

    python tests/benchmarks/benchmark_precision_recall.py [--count 50000] [--memory-gb 2]

The features are made up: rectified, from 64 hidden dimensions and noise, 32 bits, those of the generated set
narrower. Each protocol runs in a process of its own, whose peak is its resident memory less the features
themselves: the libraries count. First each protocol must equal the direct computation on 2,000 by 2,000.
"""

import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch_fidelity.metric_prc import calculate_precision_recall_full

from pipeline.evaluation.precision_recall import precision_recall

HIDDEN = 64
PROTOCOLS = ("torch_fidelity", "paper_repository")


def features(count: int, width: int, seed: int, spread: float) -> NDArray[np.float32]:
    """(count, width), made a thousand rows at a time."""
    weights = np.random.default_rng(0).standard_normal((HIDDEN, width), np.float32) / HIDDEN**0.5
    rng = np.random.default_rng(seed)
    made = np.empty((count, width), np.float32)
    for start in range(0, count, 1000):
        rows = made[start : start + 1000]
        hidden = spread * rng.standard_normal((len(rows), HIDDEN), np.float32)
        np.maximum(hidden @ weights + 0.3 * rng.standard_normal(rows.shape, np.float32), 0, out=rows)
    return made


def sets(count: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Generated and reference features."""
    return features(count, width, 1, 0.97), features(count, width, 2, 1.0)


def direct(generated: NDArray[np.float32], reference: NDArray[np.float32], protocol: str) -> tuple[float, float]:
    """Precision and recall from whole distance matrices."""
    if protocol == "torch_fidelity":
        return calculate_precision_recall_full(torch.from_numpy(generated), torch.from_numpy(reference))
    made, real = generated.astype(np.float64), reference.astype(np.float64)
    radii = [np.sort(cdist(set_, set_), axis=1)[:, 3] for set_ in (made, real)]
    distances = cdist(made, real)
    return (distances < radii[1]).any(1).mean(), (distances < radii[0][:, None]).any(0).mean()


def measure(protocol: str, count: int, width: int, memory_gb: float, threads: int) -> tuple[dict[str, float], str]:
    """The metrics, and their time and memory in words."""
    torch.set_num_threads(threads)
    generated, reference = sets(count, width)
    started, worked = time.perf_counter(), time.process_time()
    found = precision_recall(generated, reference, memory_gb, protocol)
    seconds, work = time.perf_counter() - started, time.process_time() - worked
    held = (generated.nbytes + reference.nbytes) / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return (
        found,
        f"{seconds:.0f} s ({work:.0f} CPU seconds), peak {peak - held:.2f} GB beyond the features' {held:.2f} GB",
    )


def benchmark(
    count: Annotated[int, typer.Option(help="Features of each set.")] = 50_000,
    width: Annotated[int, typer.Option(help="Their dimensions.")] = 4096,
    memory_gb: Annotated[float, typer.Option(help="Most memory for distances.")] = 2.0,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
) -> None:
    """Print a line per protocol."""
    for protocol in PROTOCOLS:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
            small, _ = processes.submit(measure, protocol, 2000, width, memory_gb / 100, threads).result()
        expected = direct(*sets(2000, width), protocol)
        if not np.allclose((small["precision"], small["recall"]), expected, rtol=1e-6):
            raise SystemExit(f"{protocol}: {small}, but the direct computation on 2,000 gives {expected}")
        print(
            f"{protocol}: equal to the direct computation on 2,000 ({expected[0]:.4f}, {expected[1]:.4f})", flush=True
        )
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
            found, told = processes.submit(measure, protocol, count, width, memory_gb, threads).result()
        values = ", ".join(f"{metric} {value:.5f}" for metric, value in found.items())
        print(f"{protocol}: {count} by {count}, {width} dimensions, {threads} threads: {told}; {values}", flush=True)


if __name__ == "__main__":
    typer.run(benchmark)
