"""Images per second of BRIGHT's decoding at 256 x 256 over a VQGAN f16 decoder's, on two CPU threads.

    python tests/benchmarks/benchmark_decoding.py [--batches 1,2] [--repeats 3] [--precisions fp32,bf16]

BRIGHT: 64x64x4, the paper's decoder, from key codes (retrieval included). VQGAN: diffusers' VQModel with 128
channels times (1, 1, 2, 2, 4), attention at 16 x 16, 256 code channels: 42.45M parameters, 126.79 GMAC.
Both have random weights, which cost the same. They take turns in one process: as PyTorch runs them and by
torch.compile, with channels first and last. The best layout of each counts, by the median of its passes.
"""

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Annotated, Any, NamedTuple

import torch
import typer
from diffusers import VQModel
from tabulate import tabulate
from torch import Tensor, nn

from pipeline.models.autoencoder import of_precision
from pipeline.models.bright import Bright
from pipeline.models.compiling import compile_networks
from pipeline.settings.autoencoder import Autoencoder

CPU = torch.device("cpu")
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}


class Contender(NamedTuple):
    """A way to decode."""

    model: str
    how: str
    layout: str
    network: nn.Module
    decode: Callable[[Tensor], Tensor]
    codes: Tensor


def vqgan_decoder() -> nn.Module:
    """VQGAN's decoder for 16 x 16 codes; its encoder is left out."""
    model = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 4 + ("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 128, 256, 256, 512),
        layers_per_block=2,
        latent_channels=256,
        num_vq_embeddings=1024,
        scaling_factor=1.0,
    )
    return model.decoder.eval()


def contenders(bright: nn.Module, vqgan: nn.Module, batch: int) -> Iterator[Contender]:
    """Both models in both layouts, plain and compiled."""
    models = (("BRIGHT 64x64x4", bright, (4, 64, 64)), ("VQGAN 16x16", vqgan, (256, 16, 16)))
    for name, model, shape in models:
        codes = torch.rand(batch, *shape)
        for how in ("eager", "compiled"):
            for layout, memory_format in LAYOUTS.items():
                network: Any = copy.deepcopy(model).to(memory_format=memory_format)
                if how == "compiled":
                    compile_networks(network, CPU)
                decode = getattr(network, "decode", network)
                yield Contender(name, how, layout, network, decode, codes.to(memory_format=memory_format))


def seconds(one: Contender, precision: str) -> float:
    """Of one pass."""
    started = time.perf_counter()
    with torch.no_grad(), of_precision(precision, CPU):
        one.decode(one.codes)
    return time.perf_counter() - started


def best_rates(found: list[Contender], precision: str, repeats: int) -> dict[tuple[str, str], tuple[float, str]]:
    """Images per second of each model, eager and compiled, and the layout that has them."""
    taken: list[list[float]] = [[] for _ in found]
    with ExitStack() as frozen:
        for one in found:
            if isinstance(one.network, Bright):
                frozen.enter_context(one.network.frozen())
        for turn in range(repeats + 1):
            for times, one in zip(taken, found, strict=True):
                passed = seconds(one, precision)
                if turn > 0:  # the first one warms up, and compiles
                    times.append(passed)
    best: dict[tuple[str, str], tuple[float, str]] = {}
    for times, one in zip(taken, found, strict=True):
        rate = len(one.codes) / statistics.median(times), one.layout
        best[one.model, one.how] = max(rate, best.get((one.model, one.how), (0.0, "")))
    return best


def benchmark(
    batches: Annotated[str, typer.Option(help="Batch sizes.")] = "1,2",
    repeats: Annotated[int, typer.Option(help="Timed passes of each.")] = 3,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    precisions: Annotated[str, typer.Option(help="fp32, bf16.")] = "fp32,bf16",
) -> None:
    """Print a table, a line for each precision and batch size."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    bright = Bright(Autoencoder(dataset="random", code_size="64x64x4"), 256, 3).eval().requires_grad_(False)
    vqgan = vqgan_decoder().requires_grad_(False)
    parameters = sum(parameter.numel() for parameter in vqgan.parameters())
    print(f"decoding at 256 x 256, {threads} threads; VQGAN f16 decoder: {parameters / 1e6:.4f}M parameters")
    rows = []
    for precision in precisions.split(","):
        for batch in (int(part) for part in batches.split(",")):
            best = best_rates(list(contenders(bright, vqgan, batch)), precision, repeats)
            row: list[Any] = [precision, batch]
            for how in ("eager", "compiled"):
                ours, theirs = best["BRIGHT 64x64x4", how], best["VQGAN 16x16", how]
                row += [f"{ours[0]:.3f} ({ours[1]})", f"{theirs[0]:.3f} ({theirs[1]})", f"{ours[0] / theirs[0]:.2f}"]
            rows.append(row)
            print(".", end="", flush=True)
    columns = [f"{name}, {how}" for how in ("eager", "compiled") for name in ("BRIGHT", "VQGAN", "ratio")]
    print()
    print(tabulate(rows, ["precision", "batch", *columns], tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    typer.run(benchmark)
