"""Time and memory of precision and recall, 50,000 against 50,000 features of 4,096 dimensions on two CPU threads.

    python tools/benchmarks/benchmark_precision_recall.py [--count 50000]

The features are made up: rectified, from 64 hidden dimensions and noise, 32 bits, those of the generated set
narrower. Each protocol runs in a process of its own, whose peak is its resident memory less the features
themselves: the libraries count. Beside them, torch-fidelity's own function in 32 bits, in blocks of 2,500 rows: it must
give the same counts as our protocol of that name, which may take at most twice the CPU seconds, and no peak may reach
1 GB.
"""

import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from bright_pipeline.evaluation.precision_recall import precision_recall
from numpy.typing import NDArray
from torch_fidelity.metric_prc import calculate_precision_recall_part

HIDDEN = 64
PROTOCOLS = ("torch_fidelity", "paper_repository")
LIBRARY = "the library's function"
LIBRARY_ROWS = 2500
MOST_GB, MOST_TIMES = 1.0, 2.0


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


class Measured(NamedTuple):
    precision: float
    recall: float
    seconds: float
    cpu_seconds: float
    peak_gb: float


def measure(protocol: str, count: int, width: int, threads: int) -> Measured:
    """Precision and recall, their time, and their memory beyond the features."""
    torch.set_num_threads(threads)
    generated, reference = features(count, width, 1, 0.97), features(count, width, 2, 1.0)
    started, worked = time.perf_counter(), time.process_time()
    if protocol == LIBRARY:
        both = torch.from_numpy(generated), torch.from_numpy(reference)
        precision, recall = calculate_precision_recall_part(*both, batch_size=LIBRARY_ROWS)
    else:
        found = precision_recall(generated, reference, protocol)
        precision, recall = found["precision"], found["recall"]
    seconds, work = time.perf_counter() - started, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - generated.nbytes - reference.nbytes
    return Measured(precision, recall, seconds, work, peak / 1e9)


def benchmark(
    count: Annotated[int, typer.Option(help="Features of each set.")] = 50_000,
    width: Annotated[int, typer.Option(help="Their dimensions.")] = 4096,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
) -> None:
    """Print a line per protocol."""
    measured = {}
    for protocol in (*PROTOCOLS, LIBRARY):
        # In a process of its own, for the peak.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
            measured[protocol] = found = processes.submit(measure, protocol, count, width, threads).result()
        print(
            f"{protocol}: {count} by {count}, {width} dimensions, {threads} threads: {found.seconds:.0f} s"
            f" ({found.cpu_seconds:.0f} CPU seconds), peak {found.peak_gb:.2f} GB beyond the features;"
            f" precision {found.precision:.5f}, recall {found.recall:.5f}",
            flush=True,
        )
    ours, theirs = measured["torch_fidelity"], measured[LIBRARY]
    ratio = ours.cpu_seconds / theirs.cpu_seconds
    peak = max(measured[protocol].peak_gb for protocol in PROTOCOLS)
    print(
        f"{ratio:.2f} times the CPU seconds of the library's function,"
        f" {ours.peak_gb / theirs.peak_gb:.2f} times its memory beyond the features"
    )
    if ours[:2] != theirs[:2] or ratio > MOST_TIMES or peak > MOST_GB:
        raise SystemExit(f"should be the library's counts, at most {MOST_TIMES:g} times its time, under {MOST_GB} GB")


if __name__ == "__main__":
    typer.run(benchmark)
