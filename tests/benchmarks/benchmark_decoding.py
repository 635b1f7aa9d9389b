"""Images per second of BRIGHT's decoding at 256 x 256 against a VQGAN f16 decoder, on two CPU threads.

    python tests/benchmarks/benchmark_decoding.py [--batches 1,2] [--repeats 3]

BRIGHT: 64x64x4, the paper's decoder, from key codes (retrieval included). VQGAN: diffusers' VQModel with 128
channels times (1, 1, 2, 2, 4), attention at 16 x 16, 256 code channels: 42.45M parameters, 126.79 GMAC.
Both have random weights, which cost the same. They take turns in one process.
"""

import statistics
import time
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from diffusers import VQModel
from torch import Tensor

from pipeline.models.bright import Bright
from pipeline.settings.autoencoder import Autoencoder


def vqgan_decoder() -> torch.nn.Module:
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


def rate(decode: Callable[[Tensor], Tensor], codes: Tensor) -> float:
    """Images per second of one pass."""
    started = time.perf_counter()
    decode(codes)
    return len(codes) / (time.perf_counter() - started)


def benchmark(
    batches: Annotated[str, typer.Option(help="Batch sizes.")] = "1,2",
    repeats: Annotated[int, typer.Option(help="Timed passes of each.")] = 3,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
) -> None:
    """Print a line per batch size."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    bright = Bright(Autoencoder(dataset="random", code_size="64x64x4"), 256, 3).eval()
    vqgan = vqgan_decoder()
    parameters = sum(parameter.numel() for parameter in vqgan.parameters())
    print(f"decoding at 256 x 256, {threads} threads; VQGAN f16 decoder: {parameters / 1e6:.4f}M parameters")
    with bright.tables.frozen():
        for batch in (int(part) for part in batches.split(",")):
            contenders = {
                "BRIGHT 64x64x4": (bright.decode, torch.rand(batch, 4, 64, 64)),
                "VQGAN 16x16": (vqgan, torch.randn(batch, 256, 16, 16)),
            }
            rates: dict[str, list[float]] = {name: [] for name in contenders}
            for turn in range(repeats + 1):
                for name, (decode, codes) in contenders.items():
                    found = rate(decode, codes)
                    if turn > 0:  # the first one warms up
                        rates[name].append(found)
            ours, theirs = (statistics.median(values) for values in rates.values())
            print(
                f"batch {batch}, medians: BRIGHT 64x64x4 {ours:.3f} images/s, VQGAN 16x16 {theirs:.3f};"
                f" BRIGHT is {ours / theirs:.2f} times as fast",
                flush=True,
            )


if __name__ == "__main__":
    typer.run(benchmark)
