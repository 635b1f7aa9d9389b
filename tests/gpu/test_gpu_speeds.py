"""Speeds of a card, as ratios of calls that take turns on it; `make gpu-check` prints them."""

import time
from typing import Any

import pytest
import torch
from gpu_models import CONFIGURATION, DEVICE, FAMILIES, ON_GPU
from test_gpu_retrieval import STRATEGIES, tables_of

from pipeline.evaluation.decoding_speed import decoding_speeds, take_turns
from pipeline.models.autoencoder import of_precision
from pipeline.models.checkpoints import make_autoencoder
from pipeline.models.diffusion import build_unet, denoise
from pipeline.models.rescaling import Rescaling
from pipeline.settings.diffusion import Sampler

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

BATCHES = (1, 8, 64) if ON_GPU else (1, 8)
ROUNDS = 7 if ON_GPU else 3


def finish() -> None:
    if ON_GPU:
        torch.cuda.synchronize()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("key_length", [1, 2])
def test_retrieval(strategy: str, key_length: int) -> None:
    """Forward and backward, over gather's time."""
    images, side = (8 if ON_GPU else 2), FAMILIES["bright"].feature_size
    code = torch.rand(images, 4, side, side, generator=torch.Generator().manual_seed(0)).to(DEVICE)

    def one_pass(tables: Any) -> None:
        tables.tables.grad = None
        tables.retrieve(code).sum().backward()
        finish()

    both = [tables_of(name, key_length, side) for name in ("gather", strategy)]
    gather, other = (min(times) for times in take_turns([lambda t=t: one_pass(t) for t in both], ROUNDS))
    print(
        f"{strategy}, C_key {key_length}, {images} images: {gather / other:.2f} times gather's speed ({gather:.4f} s)"
    )


def decoder(family: str) -> Any:
    settings = FAMILIES[family]
    size = CONFIGURATION.datasets[settings.dataset]
    torch.manual_seed(0)
    return make_autoencoder(settings, size.resolution, size.channels).to(DEVICE).eval()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("batch", BATCHES)
def test_decoding(batch: int, precision: str) -> None:
    """Images per second of BRIGHT over VQGAN's."""
    with of_precision(precision, DEVICE):
        bright, vqgan = decoding_speeds([decoder("bright"), decoder("vqgan")], batch, ROUNDS)
    ratio = bright["median"] / vqgan["median"]
    print(f"batch {batch}, {precision}: BRIGHT {bright['median']:.1f} images/s, {ratio:.2f} times VQGAN's")


@pytest.mark.skipif(not ON_GPU, reason="a ratio on a CPU says nothing of a GPU")
def test_compiled_decoding() -> None:
    model = decoder("bright")
    (eager,) = decoding_speeds([model], BATCHES[-1], ROUNDS)
    model.decode = torch.compile(model.decode)
    (compiled,) = decoding_speeds([model], BATCHES[-1], ROUNDS)
    print(f"batch {BATCHES[-1]}: compiled {compiled['median'] / eager['median']:.2f} times as fast")


def test_sampling() -> None:
    """Denoising steps per second in float32 and bfloat16."""
    settings, steps, count = FAMILIES["latent diffusion"], 10, (4 if ON_GPU else 2)
    size = CONFIGURATION.autoencoders[settings.autoencoder].code_size
    torch.manual_seed(0)
    unet = build_unet(settings.unet, size).to(DEVICE).eval()
    sampler, shape = Sampler(kind="ddim", steps=steps), (size.channels, size.height, size.width)
    rates = {}
    for precision in ("fp32", "bf16"):
        for _ in range(2):  # the first warms up
            started = time.perf_counter()
            with of_precision(precision, DEVICE):
                denoise(unet, settings, sampler, list(range(count)), 0, shape, Rescaling(bounds=(-1.0, 1.0)))
            finish()
            rates[precision] = count * steps / (time.perf_counter() - started)
    print(f"DDIM: {rates['fp32']:.1f} steps/s, in bf16 {rates['bf16'] / rates['fp32']:.2f} times as fast")
