"""Images per second of BRIGHT's decoding at 256 x 256 over a VQGAN f16 decoder's, on two CPU threads or a GPU.

    python tools/benchmarks/benchmark_decoding.py [--batches 1,2] [--repeats 3] [--precisions fp32,bf16] [--device cpu]

BRIGHT: 64x64x4, the paper's decoder, from key codes (retrieval included). VQGAN: diffusers' VQModel with 128
channels times (1, 1, 2, 2, 4), attention at 16 x 16, 256 code channels: 42.45M parameters, 126.79 GMAC.
Both have random weights, which cost the same. They take turns in one process: as PyTorch runs them and by
torch.compile, with channels first and last. The best layout of each counts, by the median of its passes.
"""

import copy
import itertools
import statistics
from contextlib import ExitStack
from typing import Annotated, Any

import torch
import typer
from bright_pipeline.evaluation.decoding_speed import take_turns
from bright_pipeline.models.autoencoder import inference_precision
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.execution import compile_networks
from bright_pipeline.settings.autoencoder import Autoencoder
from diffusers import VQModel
from tabulate import tabulate
from torch import nn

LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
CODES = {"BRIGHT": (4, 64, 64), "VQGAN": (256, 16, 16)}
WAYS = ("eager", "compiled")


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


@torch.no_grad()
def best_rates(models: dict[str, nn.Module], batch: int, repeats: int, precision: str, device: torch.device) -> Any:
    """Images per second of each model, eager and compiled, and the layout that has them."""
    found = list(itertools.product(models, WAYS, LAYOUTS))
    with ExitStack() as stack:
        calls = []
        for name, how, layout in found:
            network: Any = copy.deepcopy(models[name]).to(device, memory_format=LAYOUTS[layout])
            codes = torch.rand(batch, *CODES[name]).to(device, memory_format=LAYOUTS[layout])
            if how == "compiled":
                compile_networks(network, device)
            if name == "BRIGHT":
                stack.enter_context(network.frozen())

            def decode(decode: Any = getattr(network, "decode", network), codes: Any = codes) -> None:
                decode(codes)
                if codes.is_cuda:
                    torch.cuda.synchronize()

            calls.append(decode)
        stack.enter_context(inference_precision(precision, device))
        taken = take_turns(calls, repeats)
    best: dict[tuple[str, str], tuple[float, str]] = {}
    for (name, how, layout), seconds in zip(found, taken, strict=True):
        rate = batch / statistics.median(seconds), layout
        best[name, how] = max(rate, best.get((name, how), rate))
    return best


def benchmark(
    batches: Annotated[str, typer.Option(help="Batch sizes.")] = "1,2",
    repeats: Annotated[int, typer.Option(help="Timed passes of each.")] = 3,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    precisions: Annotated[str, typer.Option(help="fp32, bf16.")] = "fp32,bf16",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Print a table, a line for each precision and batch size."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    bright = Bright(Autoencoder(dataset="random", code_size="64x64x4"), 256, 3).eval().requires_grad_(False)
    models = {"BRIGHT": bright, "VQGAN": vqgan_decoder().requires_grad_(False)}
    parameters = sum(parameter.numel() for parameter in models["VQGAN"].parameters())
    print(f"decoding at 256 x 256, {device}, {threads} threads; VQGAN f16 decoder: {parameters / 1e6:.4f}M parameters")
    rows = []
    for precision, batch in itertools.product(precisions.split(","), map(int, batches.split(","))):
        best = best_rates(models, batch, repeats, precision, torch.device(device))
        row: list[Any] = [precision, batch]
        for how in WAYS:
            ours, theirs = best["BRIGHT", how], best["VQGAN", how]
            row += [f"{ours[0]:.3f} ({ours[1]})", f"{theirs[0]:.3f} ({theirs[1]})", f"{ours[0] / theirs[0]:.2f}"]
        rows.append(row)
    columns = [f"{name}, {how}" for how in WAYS for name in ("BRIGHT", "VQGAN", "ratio")]
    print(tabulate(rows, ["precision", "batch", *columns], tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    typer.run(benchmark)
