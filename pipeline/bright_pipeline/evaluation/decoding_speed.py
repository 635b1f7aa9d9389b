"""Decoded images per second of several autoencoders, decoded in turns so that all see the same machine."""

import platform
import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bright_pipeline.base.progress import Progress
from bright_pipeline.models.autoencoder import ImageAutoencoder


def take_turns(calls: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of each call in each round. Every round starts one call further; a first, untimed round warms up."""
    seconds: list[list[float]] = [[] for _ in calls]
    with Progress("time decoding", rounds + 1, "rounds") as progress:
        for turn in range(rounds + 1):
            for position in range(len(calls)):
                number = (position + turn) % len(calls)
                started = time.perf_counter()
                calls[number]()
                if turn > 0:
                    seconds[number].append(time.perf_counter() - started)
            progress.advance(1)
    return seconds


@torch.no_grad()
def decoding_speeds(models: Sequence[ImageAutoencoder], batch: int, rounds: int) -> list[list[float]]:
    """Images per second of each model's `decode` in each round, ascending; weights need not be trained."""

    def decode(model: ImageAutoencoder, codes: Tensor) -> None:
        model.decode(codes)
        if codes.is_cuda:
            torch.cuda.synchronize(codes.device)

    with ExitStack() as frozen:
        calls = []
        for model in models:
            frozen.enter_context(model.frozen())
            height, width, channels = model.settings.code_size
            codes = torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(0))
            calls.append(partial(decode, model, codes.to(next(model.parameters()).device)))
        return [sorted(batch / seconds for seconds in per_round) for per_round in take_turns(calls, rounds)]


def machine(device: torch.device) -> dict[str, Any]:
    """The device's name and the number of threads: the processor's name from /proc/cpuinfo, else its architecture."""
    facts = {"threads": torch.get_num_threads()}
    if device.type == "cuda":
        return {"device": torch.cuda.get_device_name(device), **facts}
    path = Path("/proc/cpuinfo")
    name = re.search(r"^model name\s*:(.+)$", path.read_text(encoding="utf-8"), re.M) if path.exists() else None
    return {"device": name[1].strip() if name else platform.machine(), **facts}
