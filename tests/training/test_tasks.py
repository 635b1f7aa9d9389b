"""The trainings of all families: precision, resume, previews, EMA; `execution` changes rounding alone."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from accelerate.state import AcceleratorState
from bright_pipeline.base.errors import InputError
from bright_pipeline.families import generator_family, load, parse_autoencoder, parse_generator
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.checkpoints import (
    load_autoencoder,
    load_generator,
    make_autoencoder,
    save_autoencoder,
    write_codes,
)
from bright_pipeline.models.diffusion import load_diffusion
from bright_pipeline.models.execution import compile_networks, enable_checkpointing
from bright_pipeline.settings.autoencoder import Autoencoder, AutoencoderSettings
from bright_pipeline.settings.diffusion import Diffusion, Sampler
from bright_pipeline.train_autoencoder import train_autoencoder
from bright_pipeline.train_diffusion import train_diffusion
from bright_pipeline.train_generator import train_generator
from bright_pipeline.training.autoencoder import AutoencoderTask
from bright_pipeline.training.batches import TrainingCodes, TrainingImages
from bright_pipeline.training.diffusion import DiffusionTask
from bright_pipeline.training.loop import Loop, make_accelerator
from bright_pipeline.training.task import TrainingTask
from first_stages import small_settings
from PIL import Image
from torch import Tensor
from torch._dynamo.backends.debugging import aot_eager

BATCH = 4
FOUR_LEVELS = {"multipliers": [1, 1, 1, 1]}
Make = Callable[..., TrainingTask]
LATE = {"start_images": 8, "critic_only_images": 8}
RESTARTS: dict[str, Any] = {
    "vqgan": {"codebook": {"restart_after_images": 8}},
    "rqvae": {"codebook": {"restart_below": 1.0}},
    "kl": {},
}
FAMILIES = ("bright", "kl", "vqgan", "rqvae", "diffusion", "ddpm", "stylegan2", "imagebart")

pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.fixture
def make(tmp_path, tiny_images, tiny_autoencoder, tiny_diffusion, tiny_stylegan2, tiny_imagebart) -> Make:
    """A task of a family on little data with these settings of `execution`; everything that draws at random is on."""
    images = TrainingImages(tiny_images)
    codes = torch.rand(10, 2, 4, 4, generator=torch.Generator().manual_seed(0))

    def made(family: str, path_weight: float = 2.0, whole: bool = False, **execution: Any) -> TrainingTask:
        """whole: with an adversary and restarts of codebook entries, which need the whole batch."""
        common: dict[str, Any] = {"training": {"batch": BATCH}, "execution": execution}
        flips: dict[str, Any] = {"training": {"batch": BATCH, "flip": True}, "execution": execution}
        decoder: Any = Autoencoder.model_validate(tiny_autoencoder())
        match family:
            case "bright":
                # Adam amplifies differently rounded gradients that are nearly zero.
                smooth = {"betas": [0.5, 0.9], "epsilon": 1e-4, "discriminator_epsilon": 1e-4, "learning_rate": 3e-4}
                flips["training"] |= smooth
                settings: Any = parse_autoencoder(tiny_autoencoder(**flips), "")
            case "vqgan" | "rqvae" | "kl":
                how = common | {"training": {"batch": BATCH, "epsilon": 1e-4}, "network": FOUR_LEVELS}
                if whole:
                    how |= {"discriminator": {"channels": 8, "layers": 2}} | RESTARTS[family]
                    how["training"] |= {"flip": True, "ema_half_life_images": 20}
                settings = small_settings(family, losses={"adversarial": LATE if whole else {"kind": "none"}}, **how)
            case "diffusion":
                settings = Diffusion.model_validate(tiny_diffusion(**common))
            case "ddpm":
                own = {"family": "ddpm", "dataset": "any", "autoencoder": None}
                settings = parse_generator(tiny_diffusion(**flips) | own, "ddpm")
            case "stylegan2":
                groups, lazy = {"minibatch_deviation": 2}, {"path_weight": path_weight}
                settings = parse_generator(tiny_stylegan2(**flips, discriminator=groups, regularization=lazy), family)
            case _:
                settings = parse_generator(tiny_imagebart(**common), "imagebart")
                decoder = small_settings("vqgan", code_size="4x4x2", network=FOUR_LEVELS, codebook={"entries": 6})
        AcceleratorState._reset_state(True)
        accelerator = make_accelerator(settings.execution, tmp_path)
        if isinstance(settings, AutoencoderSettings):
            task: Any = AutoencoderTask(settings, images, None, 0, accelerator)
        else:
            torch.manual_seed(0)
            data = images if settings.autoencoder is None else TrainingCodes(codes, make_autoencoder(decoder, 32, 1))
            kind = DiffusionTask if family == "diffusion" else load(generator_family(family).task)
            task = kind(settings, data, 0, accelerator)
        task.start(0)
        return task

    return made


@pytest.mark.parametrize(
    ("family", "precision"),
    [*((family, "bf16") for family in FAMILIES), ("stylegan2", "fp32"), ("diffusion", "fp16"), ("bright", "fp16")],
)
def test_steps_stay_finite_in_every_precision(make: Make, family: str, precision: str) -> None:
    task = make(family, precision=precision)
    rows = [task.step(step) for step in range(3)]
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())
    assert all(torch.isfinite(p).all() and p.dtype == torch.float32 for p in task.model.parameters())


def test_losses_of_scores_in_16_bits_are_taken_in_32(make: Make) -> None:
    task = make("stylegan2", precision="bf16")
    for loss in (task._generator_loss, task._discriminator_loss):
        _, numbers = loss(task.next_images(0, flip=False)[0])
        assert {number.dtype for number in numbers.values()} == {torch.float32}


class Killed(BaseException):
    """Ends a training without any of its own code running, as SIGKILL does."""


@pytest.mark.parametrize("family", FAMILIES)
def test_a_killed_training_resumes_bit_identically(make: Make, tmp_path: Path, family: str) -> None:
    def run(folder: str, kill_at: int | None = None) -> tuple[list[Tensor], list[dict[str, float]]]:
        task = make(family, whole=True, save_every_s=1e-9, log_every=1)
        task.steps, step = 6, task.step

        def step_or_die(number: int) -> dict[str, Tensor]:
            if number == kill_at:
                raise Killed
            return step(number)

        task.step = step_or_die  # type: ignore[method-assign]
        rows = Loop(task, tmp_path / folder).run().rows
        states = [tensor for module in task.modules.values() for tensor in module.state_dict().values()]
        return [*states, *task.ema.weights], [row | {"seconds": 0} for row in rows]

    weights, rows = run("whole")
    with pytest.raises(Killed):
        run("killed", kill_at=4)
    again, resumed = run("killed")
    assert all(map(torch.equal, weights, again))
    assert [row["step"] for row in resumed] == list(range(1, 7))
    assert resumed[4:] == rows[4:]  # earlier rows come from the csv, with nine digits


@pytest.mark.parametrize("family", FAMILIES)
def test_a_preview_is_repeatable_and_changes_no_weight_and_the_final_model_has_the_ema(make: Make, family: str) -> None:
    task = make(family)
    for step in range(3):
        task.step(step)
    trained = [p.detach().clone() for p in task.model.parameters()]
    one, again = task.preview(), task.preview()
    assert one.tobytes() == again.tobytes() and min(one.size) >= 32
    assert all(map(torch.equal, trained, task.model.parameters()))
    task.ema.copy_to(final := list(task.model.parameters()))
    assert all(map(torch.equal, task.ema.weights, final))
    averaged = family not in ("kl", "vqgan", "rqvae")  # whose default is no EMA
    assert all(map(torch.equal, trained, final)) != averaged


@pytest.mark.parametrize("family", ["diffusion", "ddpm", "imagebart"])
def test_a_step_has_the_learning_rate_of_its_number(make: Make, family: str) -> None:
    task = make(family)
    for step, rate in enumerate([0.25e-3, 0.5e-3, 0.75e-3]):
        task.step(step)
        assert [group["lr"] for group in task.optimizers["model"].param_groups] == pytest.approx([rate])


Trained = tuple[Tensor, list[dict[str, float]]]
"""All weights in a row, and the numbers of each step."""


def trained(task: TrainingTask, steps: int) -> Trained:
    numbers = [{key: float(value) for key, value in task.step(step).items()} for step in range(steps)]
    return torch.cat([p.detach().flatten() for module in task.modules.values() for p in module.parameters()]), numbers


def difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


def check_close(one: Trained, other: Trained, name: str = "") -> None:
    """They differ by rounding alone."""
    print(name, difference(one[0], other[0]))
    assert difference(one[0], other[0]) < 1e-5
    for row, expected in zip(one[1], other[1], strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    ("family", "micro_batch"),
    [*(("bright", size) for size in (1, 2)), ("stylegan2", 2)]
    + [(family, 3) for family in ("kl", "vqgan", "diffusion", "ddpm", "imagebart")],
)
def test_micro_batches_of_any_size_give_the_weights_and_the_numbers_of_the_whole(make, family, micro_batch):
    whole, (start, _) = trained(make(family), 4), trained(make(family), 0)
    assert difference(start, whole[0]) > 1e-4, "the weights have moved by ten times the tolerance"
    check_close(trained(make(family, micro_batch=micro_batch), 4), whole, family)


@pytest.mark.parametrize("family", ["bright", "kl", "diffusion", "stylegan2", "imagebart"])
def test_checkpointing_gives_the_same_bits(make: Make, family: str) -> None:
    whole, numbers = trained(make(family), 3)  # the first step of StyleGAN2 includes both penalties
    weights, own = trained(make(family, checkpointing=True), 3)
    assert torch.equal(weights, whole) and own == numbers


def test_checkpointing_keeps_less(make: Make) -> None:
    def kept(**execution: Any) -> int:
        """Numbers that a forward pass of the model saves for its backward pass."""
        task, sizes = make("bright", **execution), []
        with torch.autograd.graph.saved_tensors_hooks(lambda one: sizes.append(one.numel()) or one, lambda one: one):
            task.model.training_pass(torch.zeros(2, 1, 32, 32), task.random(0, batch=2))
        return sum(sizes)

    assert kept(checkpointing=True) < 0.6 * kept()


def test_a_network_without_blocks_that_can_be_recomputed_is_refused(make: Make) -> None:
    assert enable_checkpointing(torch.nn.Linear(1, 1)) == 0
    task = make("bright", checkpointing=True)
    with pytest.raises(InputError, match=r"execution\.checkpointing: no block"):
        task.add_model(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("family", ["bright", "vqgan", "ddpm"])
def test_channels_last_are_another_order_of_the_same_numbers(make: Make, family: str) -> None:
    task = make(family, channels_last=True)
    found = trained(task, 2)
    convolutions = [weight for weight in task.model.parameters() if weight.dim() == 4 and min(weight.shape[1:3]) > 1]
    assert convolutions
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in convolutions)
    check_close(found, trained(make(family), 2))


@pytest.mark.slow
def test_a_compiled_training_and_its_decoder_agree_with_plain_ones(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """F_mlp and the last block of the synthesis, whose kernels take C++ half a minute; with COMPILE_ALL=1 all parts."""
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    if "COMPILE_ALL" not in os.environ:
        some = property(lambda model: ["group_mlps", f"synthesis.blocks.{len(model.synthesis.blocks) - 1}"])
        monkeypatch.setattr(Bright, "compiled_parts", some)
    codes = torch.rand(4, 2, 4, 4, generator=torch.Generator().manual_seed(1))

    def result(**execution: Any) -> tuple[Trained, Tensor]:
        task = make("bright", **execution)
        found = trained(task, 2)
        with torch.no_grad():
            return found, task.model.decode(codes)

    (plain, images), (compiled, found) = result(), result(compile=True)
    check_close(compiled, plain, "compiled")
    assert difference(found, images) < 1e-5
    assert not torch.equal(found, images), "nothing was compiled"


@pytest.mark.parametrize("family", ["bright", "vqgan", "ddpm", "stylegan2", "imagebart"])
def test_networks_of_every_kind_can_be_compiled(make: Make, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced whole, forward and backward, and run by torch's own kernels, which takes seconds."""
    graphs: list[int] = []

    def traced(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        graphs.append(len(graph.graph.nodes))
        return aot_eager(graph, inputs)

    monkeypatch.setattr(
        "bright_pipeline.training.task.compile_networks",
        lambda model, device: compile_networks(model, device, backend=traced),
    )
    lazy = {"path_weight": 0.0} if family == "stylegan2" else {}
    plain = trained(make(family, **lazy), 2)
    assert graphs == []
    compiled = trained(make(family, compile=True, **lazy), 2)
    assert sum(graphs) > 30
    check_close(compiled, plain)


def test_an_adaptive_adversary_goes_back_through_a_compiled_decoder(tmp_path: Path, tiny_images: Path) -> None:
    """VQGAN's weight of the adversary takes the gradients of two losses first."""
    at_once = {"adversarial": {"start_images": 0, "critic_only_images": 0}}
    smooth = {"batch": BATCH, "epsilon": 1e-4}
    settings = small_settings("vqgan", losses=at_once, training=smooth, network=FOUR_LEVELS)

    def weights(compiled: bool) -> Tensor:
        AcceleratorState._reset_state(True)
        accelerator = make_accelerator(settings.execution, tmp_path)
        task = AutoencoderTask(settings, TrainingImages(tiny_images), None, 0, accelerator)
        if compiled:
            compile_networks(task.model, task.device, backend="aot_eager")
        task.start(0)
        found, (numbers,) = trained(task, 1)
        assert numbers["gradient_ratio"] > 0
        return found

    assert difference(weights(compiled=True), weights(compiled=False)) < 1e-5


def test_what_cannot_be_compiled_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise RuntimeError("No working C++ compiler found in\n[None, 'g++']")

    monkeypatch.setattr(torch, "compile", missing)
    told = r"execution\.compile: torch\.compile does not run on this machine \(No working C\+\+ compiler found in \["
    with pytest.raises(InputError, match=told):
        compile_networks(torch.nn.Linear(1, 1), torch.device("cpu"))


# The commands: each family gets the data that it reads, and leaves weights, history and picture.


@pytest.mark.parametrize("family", ["bright", "stylegan2", "imagebart", "diffusion"])
def test_a_command_reads_its_data_and_writes_a_model_a_history_and_a_picture(
    tmp_path, tiny_images, tiny_autoencoder, tiny_diffusion, tiny_stylegan2, tiny_imagebart, family
) -> None:
    names = {"weights": "weights.safetensors", "history": "history.csv", "preview": "preview.png", "work": "work"}
    made = {option: tmp_path / name for option, name in names.items()}
    read = {option: tmp_path / f"{option}.safetensors" for option in ("codes", "autoencoder")}
    few = {"training": {"steps": 3, "warmup_steps": 1}}
    if family == "bright":
        job = {"autoencoder": tiny_autoencoder(training={"images": 3 * BATCH}), "seed": 1}
        train_autoencoder(json.dumps(job), images=tiny_images, **made)
    elif family == "stylegan2":
        job = {"generator": tiny_stylegan2(training={"images": 3 * BATCH}), "seed": 1}
        train_generator(json.dumps(job), images=tiny_images, **made)
    else:
        decoder = small_settings("vqgan", code_size="4x4x2", network=FOUR_LEVELS, codebook={"entries": 6})
        if family == "diffusion":
            decoder = Autoencoder.model_validate(tiny_autoencoder())
        save_autoencoder(read["autoencoder"], make_autoencoder(decoder, 32, 1), decoder, 32, 1)
        write_codes(read["codes"], torch.rand(10, 2, 4, 4, generator=torch.Generator().manual_seed(0)))
        if family == "diffusion":
            train_diffusion(json.dumps({"diffusion": tiny_diffusion(**few), "seed": 1}), **read, **made)
        else:
            train_generator(json.dumps({"generator": tiny_imagebart(**few), "seed": 1}), **read, **made)
    assert pd.read_csv(made["history"])["step"].tolist() == [1, 2, 3]
    assert Image.open(made["preview"]).size[0] >= 32
    if family == "bright":
        assert load_autoencoder(made["weights"]).encode(torch.zeros(2, 1, 32, 32)).shape == (2, 2, 4, 4)
        return
    model: Any = load_diffusion(made["weights"]) if family == "diffusion" else load_generator(made["weights"])
    codes = model.sample([0, 1], 0, Sampler(kind="ddim", steps=2))
    assert codes.shape == ((2, 1, 32, 32) if family == "stylegan2" else (2, 2, 4, 4))
