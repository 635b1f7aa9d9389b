"""How fast a card is, as ratios of things that take turns on it."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch

from pipeline.evaluation.decoding_speed import decoding_speeds, take_turns
from pipeline.gpu_check.checks import groups_of_tables, strategies
from pipeline.gpu_check.findings import Finding, State, guarded
from pipeline.gpu_check.sizes import SAMPLING_STEPS, Sizes, families
from pipeline.models.checkpoints import make_autoencoder
from pipeline.models.diffusion import build_unet, denoise
from pipeline.models.rescaling import Rescaling
from pipeline.settings.diffusion import Sampler


def measure_retrieval(device: torch.device, sizes: Sizes) -> Iterator[Finding]:
    """Forward and backward of each strategy that runs here, over gather's time."""
    for key_length in (1, 2):
        what = f"C_key {key_length}, {sizes.retrieved} images"
        yield guarded("retrieval speed", what, partial(_retrieval, key_length, what, device, sizes))


def _retrieval(key_length: int, what: str, device: torch.device, sizes: Sizes) -> Finding:
    _, settings = families(sizes.config)["bright"]
    side: int = settings.feature_size  # type: ignore[attr-defined]
    code = torch.rand(sizes.retrieved, 4, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    made = {name: groups_of_tables(name, key_length, side, device) for name in strategies()}
    running = {name: tables for name, tables in made.items() if not isinstance(tables, str)}

    def pass_of(tables: Any) -> Callable[[], object]:
        def act() -> None:
            tables.tables.grad = None
            tables.retrieve(code).sum().backward()
            finish(device)

        return act

    seconds = take_turns([pass_of(tables) for tables in running.values()], sizes.rounds)
    best = {name: min(times) for name, times in zip(running, seconds, strict=True)}
    ratios = {f"gather / {name}": best["gather"] / taken for name, taken in best.items() if name != "gather"}
    return Finding("retrieval speed", what, State.MEASURED, "", {"gather, s": best["gather"]} | ratios)


def finish(device: torch.device) -> None:
    """Wait for what was asked of a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_decoding(device: torch.device, sizes: Sizes) -> Iterator[Finding]:
    """Decoded images per second of BRIGHT over VQGAN's, and compiled over not where this is a GPU."""
    models = {}
    for family in ("bright", "vqgan"):
        _, settings = families(sizes.config)[family]
        entry: Any = settings
        size = sizes.config.datasets[entry.dataset]
        torch.manual_seed(0)
        models[family] = make_autoencoder(entry, size.resolution, size.channels).to(device).eval()
    for batch in sizes.decoded:
        for precision in ("fp32", "bf16"):
            what = f"batch {batch}, {precision}"
            yield guarded("decoding", what, partial(_decoding, models, batch, precision, what, device, sizes))
    what = "compiled and not"
    if device.type != "cuda":
        yield Finding("decoding", what, State.NOT_CHECKED, "a ratio on a CPU says nothing of a GPU")
        return
    yield guarded("decoding", what, lambda: _compiled(models["bright"], sizes, what))


def _decoding(
    models: dict[str, Any], batch: int, precision: str, what: str, device: torch.device, sizes: Sizes
) -> Finding:
    half = torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
    with half:
        bright, vqgan = (found["median"] for found in decoding_speeds(list(models.values()), batch, sizes.rounds))
    numbers = {"BRIGHT, images/s": bright, "VQGAN, images/s": vqgan, "BRIGHT / VQGAN": bright / vqgan}
    return Finding("decoding", what, State.MEASURED, "", numbers)


def _compiled(model: Any, sizes: Sizes, what: str) -> Finding:
    batch = sizes.decoded[-1]
    (eager,) = decoding_speeds([model], batch, sizes.rounds)
    whole = model.decode
    model.decode = torch.compile(whole)
    try:
        (compiled,) = decoding_speeds([model], batch, sizes.rounds)
    finally:
        model.decode = whole
    ratio = {"compiled / not": compiled["median"] / eager["median"]}
    return Finding("decoding", f"{what}, batch {batch}", State.MEASURED, "", ratio)


def measure_sampling(device: torch.device, sizes: Sizes) -> Iterator[Finding]:
    """Denoising steps of latent diffusion per second, in float32 and in bfloat16."""
    what = f"{sizes.sampled} codes, DDIM, {SAMPLING_STEPS} steps"
    yield guarded("sampling", what, lambda: _sampling(what, device, sizes))


def _sampling(what: str, device: torch.device, sizes: Sizes) -> Finding:
    _, found = families(sizes.config)["latent diffusion"]
    settings: Any = found
    size = sizes.config.autoencoders[settings.autoencoder].code_size
    torch.manual_seed(0)
    unet = build_unet(settings.unet, size).to(device).eval()
    sampler, shape = Sampler(kind="ddim", steps=SAMPLING_STEPS), (size.channels, size.height, size.width)
    rates = {}
    for precision in ("fp32", "bf16"):
        for _ in range(2):  # the first warms up
            started = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext():
                denoise(unet, settings, sampler, list(range(sizes.sampled)), 0, shape, Rescaling(bounds=(-1.0, 1.0)))
            finish(device)
            rates[precision] = sizes.sampled * SAMPLING_STEPS / (time.perf_counter() - started)
    numbers = {f"{precision}, steps/s": rate for precision, rate in rates.items()}
    return Finding("sampling", what, State.MEASURED, "", numbers | {"bf16 / fp32": rates["bf16"] / rates["fp32"]})
