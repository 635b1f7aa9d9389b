"""The same numbers on every x86-64 processor with AVX2 (docs/processors.md)."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bright_pipeline.base import process
from bright_pipeline.base.process import PORTABLE, kernel_choice
from bright_pipeline.engine import code
from bright_pipeline.models import processor
from bright_pipeline.models.processor import square_root, use_cpu
from daemons import Unavailable, install

Train = Callable[..., str]


@pytest.fixture
def train(tmp_path: Path, tiny_images: Path, tiny_autoencoder: Callable[..., dict[str, Any]]) -> Train:
    """Runs the stage for two steps, with these words before `python`; returns the sha256 of the weights."""
    settings = tiny_autoencoder(training={"images": 4, "batch": 2}, execution={"trackers": [], "previews": 0})
    (tmp_path / "settings.json").write_text(json.dumps({"autoencoder": settings, "seed": 3}))

    def run(name: str, *before: str, **variables: str) -> str:
        names = {"weights": "weights.safetensors", "history": "csv", "preview": "png", "work": "work"}
        outputs = [f"--{option}={tmp_path / f'{name}.{end}'}" for option, end in names.items()]
        words = ["settings.json", "--images", str(tiny_images), *outputs]
        command = [*before, sys.executable, "-m", "bright_pipeline.train_autoencoder", *words]
        environment = {key: value for key, value in os.environ.items() if key not in PORTABLE} | variables
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, stderr=subprocess.DEVNULL)
        return hashlib.sha256((tmp_path / f"{name}.weights.safetensors").read_bytes()).hexdigest()

    return run


@pytest.mark.slow
def test_first_steps_have_the_same_bits_on_another_makers_processor(train: Train) -> None:
    """An emulated processor of Intel on one of AMD, or the reverse. The fastest kernels have other bits."""
    try:
        install("processor emulator", "qemu-user", "qemu-x86_64", as_root=False)
    except Unavailable as reason:
        pytest.skip(str(reason))
    if kernel_choice().keys() <= {"OPENBLAS_NUM_THREADS"}:
        pytest.skip("this processor has no AVX2")
    other = "Haswell" if "AuthenticAMD" in Path("/proc/cpuinfo").read_text() else "EPYC-Rome"
    here = train("here")
    assert train("other", "qemu-x86_64", "-cpu", other) == here
    assert train("fastest", BRIGHT_PORTABLE="0") != here


@pytest.mark.parametrize(
    ("flags", "variables", "is_portable"),
    [
        ("fma avx2 bmi2", {}, True),
        ("fma avx2 bmi2", {"BRIGHT_PORTABLE": "0"}, False),
        ("sse4_2 avx", {}, False),
        (None, {}, False),  # not Linux
    ],
)
def test_a_processor_without_avx2_uses_the_libraries_choice(flags, variables, is_portable, tmp_path, monkeypatch):
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    monkeypatch.setattr(process, "Path", lambda path: tmp_path / "cpuinfo")
    monkeypatch.setattr(os, "environ", variables)
    assert kernel_choice() == {"OPENBLAS_NUM_THREADS": "1"} | (PORTABLE if is_portable else {})
    os.environ.update(kernel_choice())
    assert process.is_portable() == is_portable


@pytest.mark.parametrize("is_portable", [True, False])
def test_results_record_their_kernels(is_portable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "is_portable", lambda: is_portable)
    expected = "portable" if is_portable else torch.backends.cpu.get_cpu_capability()
    assert code.versions.__wrapped__(frozenset({"torch"}))["cpu"] == expected


def test_the_square_root_of_mkl_is_replaced_also_in_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    for target, name in ((torch, "sqrt"), (torch.Tensor, "sqrt"), (torch.Tensor, "__pow__")):
        monkeypatch.setattr(target, name, getattr(target, name))  # put back after the test
    monkeypatch.setattr(processor, "is_portable", lambda: True)
    use_cpu(1)
    numbers = torch.rand(10_000) + 1e-3
    expected = square_root(numbers)
    for found in (torch.sqrt(numbers), numbers.sqrt(), numbers**0.5):
        assert torch.equal(found, expected)
    torch.testing.assert_close(numbers**3, numbers * numbers * numbers)
    assert torch.equal(numbers**2.0, numbers * numbers)


def test_the_portable_square_root_is_exact_to_the_last_place_and_differentiable_twice() -> None:
    numbers = torch.cat([torch.rand(100_000) * 10, torch.tensor([0.0, 1.0, 4.0])])
    exact = np.sqrt(numbers.numpy())
    assert (np.abs(square_root(numbers).numpy() - exact) <= np.spacing(exact)).all()
    assert square_root(numbers)[-3:].tolist() == [0.0, 1.0, 2.0]
    points = (torch.rand(5, dtype=torch.float64) + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(square_root, points) and torch.autograd.gradgradcheck(square_root, points)
