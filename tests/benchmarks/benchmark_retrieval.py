"""Time of separable over gather retrieval, forward plus backward, at the paper's sizes on two CPU threads.

    python tests/benchmarks/benchmark_retrieval.py [--batches 1,8,32] [--repeats 5]

The two take turns in one process, so that a machine's other work falls on both.
"""

import statistics
import time
from typing import Annotated

import torch
import typer

from pipeline.models.hash_tables import HashTableGroups
from pipeline.settings.autoencoder import HashTables

FEATURE_SIZE, GROUPS = 64, 4  # 64x64x4, C_key = 1


def groups_of_tables(retrieval: str) -> HashTableGroups:
    """The paper's groups: 16 resolutions from 4 to 64, four floats an entry, at most 2^18 entries."""
    torch.manual_seed(0)
    return HashTableGroups(HashTables(retrieval=retrieval), GROUPS, FEATURE_SIZE)  # type: ignore[arg-type]


def seconds(tables: HashTableGroups, code: torch.Tensor, upstream: torch.Tensor) -> float:
    """One forward and backward pass, with gradients of tables and code."""
    started = time.perf_counter()
    code.grad = tables.tables.grad = None
    tables.retrieve(code).backward(upstream)
    return time.perf_counter() - started


def benchmark(
    batches: Annotated[str, typer.Option(help="Batch sizes.")] = "1,8,32",
    repeats: Annotated[int, typer.Option(help="Timed passes of each.")] = 5,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
) -> None:
    """Print a line per batch size."""
    torch.set_num_threads(threads)
    strategies = {name: groups_of_tables(name) for name in ("gather", "separable")}
    print(f"retrieval 64x64x4, N_r 16 from 4 to 64, C_v 4, 2^18 entries, {threads} threads, forward + backward")
    for batch in (int(part) for part in batches.split(",")):
        code = torch.rand(batch, GROUPS, FEATURE_SIZE, FEATURE_SIZE).requires_grad_()
        upstream = torch.randn(batch, GROUPS, 64, FEATURE_SIZE, FEATURE_SIZE)
        times: dict[str, list[float]] = {name: [] for name in strategies}
        for turn in range(repeats + 1):
            for name, tables in strategies.items():
                taken = seconds(tables, code, upstream)
                if turn > 0:  # the first one warms up
                    times[name].append(taken)
        best = {name: min(values) for name, values in times.items()}
        middle = {name: statistics.median(values) for name, values in times.items()}
        print(
            f"batch {batch:2d}: gather {best['gather']:.3f} s (median {middle['gather']:.3f}),"
            f" separable {best['separable']:.3f} s (median {middle['separable']:.3f});"
            f" separable is {best['gather'] / best['separable']:.2f} times as fast"
            f" (median {middle['gather'] / middle['separable']:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    typer.run(benchmark)
