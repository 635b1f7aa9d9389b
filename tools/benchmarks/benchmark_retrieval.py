"""Time of retrieval strategies relative to gather, forward plus backward, at the paper's sizes.

    python tools/benchmarks/benchmark_retrieval.py [--batches 1,8,32] [--repeats 5] [--key-length 2] [--device cpu]

All strategies that can run on two CPU threads, or on a GPU if there is one. They take turns in one process, so that
other work on the machine affects all.
"""

import statistics
from functools import partial
from typing import Annotated

import torch
import typer
from bright_pipeline.evaluation.decoding_speed import take_turns
from bright_pipeline.models.hash_tables import HashTableGroups
from bright_pipeline.models.retrieval import KERNELS
from bright_pipeline.settings.autoencoder import HashTables

FEATURE_SIZE, CHANNELS = 64, 4  # 64x64x4
COARSEST = {1: 4, 2: 16}  # of Tables 2 and 7


def strategies_of(key_length: int, device: str) -> dict[str, HashTableGroups]:
    """The strategies that can run here, gather first: 16 resolutions up to 64, four floats and at most 2^18 entries."""
    names = ["gather", *(["separable"] if key_length == 1 else [])]
    if device != "cpu":
        names += [name for name in KERNELS if KERNELS[name].unavailable(HashTables(key_length=key_length)) is None]
    found = {}
    for name in names:
        torch.manual_seed(0)
        coarsest = COARSEST.get(key_length, 16)
        settings = HashTables(retrieval=name, key_length=key_length, coarsest_resolution=coarsest)  # type: ignore[arg-type]
        found[name] = HashTableGroups(settings, CHANNELS // key_length, FEATURE_SIZE).to(device)
    return found


def one_pass(tables: HashTableGroups, code: torch.Tensor, upstream: torch.Tensor) -> None:
    """A forward and a backward pass, with gradients of tables and code."""
    code.grad = tables.tables.grad = None
    tables.retrieve(code).backward(upstream)
    if code.is_cuda:
        torch.cuda.synchronize()


def benchmark(
    batches: Annotated[str, typer.Option(help="Batch sizes.")] = "1,8,32",
    repeats: Annotated[int, typer.Option(help="Timed passes of each.")] = 5,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    key_length: Annotated[int, typer.Option(help="C_key: 1, 2 or 4.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cuda" if torch.cuda.is_available() else "cpu",
) -> None:
    """Print a line per batch size."""
    torch.set_num_threads(threads)
    strategies = strategies_of(key_length, device)
    where = f"{threads} threads" if device == "cpu" else torch.cuda.get_device_name()
    print(f"retrieval 64x64x4, C_key {key_length}, N_r 16 up to 64, C_v 4, 2^18 entries, {where}, forward + backward")
    for batch in (int(part) for part in batches.split(",")):
        code = torch.rand(batch, CHANNELS, FEATURE_SIZE, FEATURE_SIZE, device=device).requires_grad_()
        upstream = torch.randn(batch, CHANNELS // key_length, 64, FEATURE_SIZE, FEATURE_SIZE, device=device)
        calls = [partial(one_pass, tables, code, upstream) for tables in strategies.values()]
        medians = dict(zip(strategies, map(statistics.median, take_turns(calls, repeats)), strict=True))
        told = [f"{name} {one:.4f} s ({medians['gather'] / one:.2f} times as fast)" for name, one in medians.items()]
        print(f"batch {batch:2d}: {', '.join(told)}", flush=True)


if __name__ == "__main__":
    typer.run(benchmark)
