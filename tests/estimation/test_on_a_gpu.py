"""Trainings, encoding, decoding and sampling at the paper's sizes, on a simulated GPU.

The simulated GPU (`estimation/fake_gpu.py`) runs the models' own code on tensors without data. A tensor on the wrong
device, or a value that the host would wait for, is an error there.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from bright_pipeline.config.root import load_config
from bright_pipeline.estimation.costs import prepare_retrieval, simulated_task, training_cost
from bright_pipeline.estimation.devices import DEVICES, GIBI, needed_gib, trainings
from bright_pipeline.estimation.fake_gpu import DRAWN, FakeGPU
from bright_pipeline.models.diffusion import denoise
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.settings.diffusion import Diffusion, Sampler
from bright_pipeline.training.task import TrainingTask
from snakemake.utils import update_config
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "config" / "paper.yaml"
ONE_GPU = ROOT / "config" / "paper-one-gpu.yaml"
TAKE_MOST = ["autoencoders.ffhq-16x16x16", "autoencoders.ffhq-rqvae", "diffusions.ffhq-ldm"]


class Limit(NamedTuple):
    """Limits of a step: device operations, and GiB kept for the backward pass."""

    operations: int
    kept_gib: float
    decode: int = 300
    """Operations of decoding four images."""
    to_device: int = 2
    """Copies to the device: of the batch, and of constants."""


LIMITS = {
    "autoencoders.ffhq-64x64x4": Limit(2450, 31, decode=250),
    "autoencoders.ffhq-rqvae": Limit(1700, 57),
    "autoencoders.church-kl-bf16": Limit(1850, 24),
    "diffusions.ffhq": Limit(1700, 56),
    "generators.ffhq-stylegan2": Limit(5400, 20, to_device=5),
}
SLOW_LIMITS = {
    "autoencoders.ffhq-16x16x16": Limit(2700, 32, decode=250),
    "autoencoders.ffhq-64x64x4-bf16": Limit(3150, 21, decode=250),
    "autoencoders.ffhq-vqgan": Limit(1550, 21),
    "diffusions.ffhq-bf16": Limit(2650, 45),
    "generators.ffhq-imagebart": Limit(3800, 20),
    "generators.church-ddpm": Limit(1800, 126),
}
USES = {"encode": 200, "sample": 360}
"""Operations for four images."""
NEED_FLOAT64 = {"two steps of ddpm"}  # its noise; Apple's GPUs (MPS) have no float64
STEPS = 1180  # operations of two steps of a sampler, including the noise of DDPM


VIEWS_AND_MEMORY = {"empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided"}
VIEWS_AND_MEMORY |= {"_unsafe_view", "lift_fresh"}


class CountingGPU(FakeGPU):
    """Also counts operations, each about one kernel, copies, and bytes that graphs keep for their backward passes."""

    operations = to_device = to_host = kept = most_kept = 0

    def measure(self, call: Callable[[], object]) -> tuple[Any, int]:
        self.operations = self.to_device = self.to_host = self.kept = self.most_kept = 0
        before, saved = WeakIdKeyDictionary(dict.fromkeys(self._known.keys())), WeakIdKeyDictionary()

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage in self._known and storage not in before and storage not in saved:
                saved[storage] = size = self._known[storage]
                self.kept += size
                self.most_kept = max(self.most_kept, self.kept)
                weakref.finalize(storage, self.drop, size)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            return super().measure(call)

    def drop(self, size: int) -> None:
        self.kept -= size

    def _count(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        super()._count(func, args, kwargs, out)
        read, made = (
            {one.fake_device == self.device for one in pytree.tree_leaves(some) if isinstance(one, FakeTensor)}
            for some in ((args, kwargs), out)
        )
        name = func._schema.name.removeprefix("aten::")
        if func is torch.ops.aten._to_copy.default and read != made:
            self.to_device += made == {True}
            self.to_host += made == {False}
        elif True in read | made and func.namespace in {"aten", "bright"} and not func.is_view:
            self.operations += name not in VIEWS_AND_MEMORY and (bool(made) or name.startswith("_f"))


class WithoutFloat64(TorchDispatchMode):
    """No operation within it makes a float64 tensor on the GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            assert not (
                isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float64 and tensor.device.type != "cpu"
            )
        return out


def uses(task: Any, gpu: FakeGPU) -> Iterator[tuple[str, Callable[[], object]]]:
    """The uses of a trained model, on four images or codes."""
    task.model.eval()
    if isinstance(task.settings, AutoencoderSettings):
        height, width, channels = task.settings.code_size
        images = torch.zeros(4, *task.images.shape, device=gpu.device)
        codes = torch.zeros(4, channels, height, width, device=gpu.device)
        yield "encode", torch.no_grad()(partial(task.model.encode, images))
        decode = torch.no_grad()(partial(task.model.decode, codes))
        with task.model.frozen():
            decode()  # the first call fills the caches
            yield "decode", decode
        return
    for kind in ("ddpm", "ddim", "dpm_solver") if hasattr(task, "unet") else ():
        sampler = Sampler(kind=kind, steps=2)
        if isinstance(task.settings, Diffusion):
            sample = partial(denoise, task.unet, task.settings, sampler, [*range(4)], 0, task.shape, task.rescaling)
        else:
            sample = partial(task.model.sample, [*range(4)], 0, sampler)
        yield f"two steps of {kind}", sample
    if hasattr(task.model, "synthesize"):
        yield "sample", partial(task.model.sample, [*range(4)], 0)


@pytest.mark.parametrize(
    ("entry", "limit"), [*LIMITS.items(), *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW_LIMITS.items())]
)
def test_a_training_step_stays_within_its_launches_and_memory(entry: str, limit: Limit) -> None:
    """An entry of the paper's config, in float32, or in bf16 by another name.

    Each batch is one micro-batch, and nothing is checkpointed.
    """
    section, name = entry.split(".")
    values = yaml.safe_load(PAPER.read_text(encoding="utf-8"))
    for models in (values["autoencoders"], values["diffusions"], values["generators"]):
        for model in models.values():
            model["execution"] = {"precision": "fp32", "keep_every": model.get("execution", {}).get("keep_every", 0)}
    if name.endswith("-bf16"):
        values[section][name] = {"like": name.removesuffix("-bf16"), "execution": {"precision": "bf16"}}
    config = load_config(values)
    with CountingGPU() as gpu:
        task: TrainingTask = simulated_task(config, trainings(config)[entry], gpu)
        weights, largest = gpu.held, 0
        for step in task.kinds_of_steps():
            task.start(step)
            _, peak = gpu.measure(partial(task.step, step))
            if peak > largest:
                largest, operations, kept = peak, gpu.operations, gpu.most_kept
                copies = gpu.to_host, gpu.to_device
        assert 0.5 * limit.operations < operations <= limit.operations
        assert 0.5 * limit.kept_gib < kept / GIBI <= limit.kept_gib
        assert copies[0] == 0 and copies[1] <= limit.to_device
        assert kept + weights / 2 < largest < 1.2 * kept + 2 * weights + GIBI
        if decoder := getattr(task.data, "decoder", None):
            prepare_retrieval(decoder, gpu.device)
        for use, call in uses(task, gpu):
            with nullcontext() if use in NEED_FLOAT64 else WithoutFloat64():
                gpu.measure(call)
            assert gpu.operations <= (USES | {"decode": limit.decode}).get(use, STEPS), use
            assert (gpu.to_host, gpu.most_kept) == (0, 0), use


@pytest.mark.slow
def test_the_largest_trainings_of_the_paper_fit_one_card_of_24_gb() -> None:
    """With the micro-batches, checkpointing and 16 bits of the config, on one GPU instead of eight."""
    values = yaml.safe_load(PAPER.read_text(encoding="utf-8"))
    update_config(values, yaml.safe_load(ONE_GPU.read_text(encoding="utf-8")))  # as --configfile does with two
    config = load_config(values)
    assert {entry for entry, one in trainings(config).items() if one.execution.processes > 1} == set()
    for entry in TAKE_MOST:
        cost = training_cost(config, trainings(config)[entry])
        assert 0.75 < needed_gib(cost) / DEVICES["rtx3090"].memory_gib < 1, f"{entry}: {needed_gib(cost)} GiB"


def test_large_random_tensors_are_zero_so_that_rejection_sampling_ends() -> None:
    """torchvision's ViT draws weights until all are within bounds; what the memory had before never is."""
    tensor = torch.full((DRAWN + 1,), 7.0)
    with FakeGPU():
        torch.nn.init.trunc_normal_(tensor)
    assert not tensor.any()
