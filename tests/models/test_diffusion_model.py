"""Diffusion models on codes and on pixels: the paper's network, schedule, weights of the loss, one step."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from bright_pipeline.base.seeds import seed_for
from bright_pipeline.families import parse_generator
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.diffusion import DDPM, build_unet
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.settings.diffusion import Diffusion, Sampler, UNet
from bright_pipeline.settings.fields import CodeSize
from bright_pipeline.training.batches import StepRandom, TrainingCodes, TrainingImages
from bright_pipeline.training.diffusion import DDPMTask, DiffusionTask, min_snr_weight, signal_to_noise
from bright_pipeline.training.loop import make_accelerator
from diffusers import DDPMScheduler
from diffusers.models.attention_processor import Attention
from diffusers.training_utils import compute_snr
from hypothesis import given
from hypothesis import strategies as st

T = 1000

pytestmark = pytest.mark.usefixtures("fresh_process")

SMALL = {"channels": 8, "blocks": 1, "norm_groups": 4}


@pytest.mark.parametrize(
    ("settings", "side", "attends"),
    [
        ({}, 64, {32, 16, 8}),
        (SMALL | {"multipliers": [1, 1], "attention_resolutions": [8]}, 16, {8}),
        (SMALL | {"multipliers": [1, 1, 1], "attention_resolutions": []}, 32, set()),
    ],
)
def test_attention_is_where_the_config_says_and_the_papers_network_has_358_million_parameters(settings, side, attends):
    with torch.device("meta"):
        unet, sizes = build_unet(UNet(**settings), CodeSize(side, side, 4)), set()
        for block in (*unet.down_blocks, *unet.up_blocks):
            for module in block.modules():
                if isinstance(module, Attention):
                    module.register_forward_pre_hook(lambda module, inputs: sizes.add(inputs[0].shape[-1]))
        output = unet(torch.zeros(2, 4, side, side), torch.zeros(2, dtype=torch.long)).sample
    assert output.shape == (2, 4, side, side)
    assert settings or sum(p.numel() for p in unet.parameters()) == pytest.approx(357.924e6, abs=500)
    assert sizes == attends


def test_the_cosine_schedule_is_nichol_and_dhariwals():
    """Equation 17 of arXiv:2102.09672, s = 0.008; only the last beta is cut to 0.999."""

    def f(t):
        return math.cos((t / T + 0.008) / 1.008 * math.pi / 2) ** 2

    settings = Diffusion(autoencoder="any")
    scheduler = DDPMScheduler(settings.timesteps, beta_schedule=settings.schedule)
    expected = torch.tensor([f(t + 1) / f(0) for t in range(T)], dtype=torch.float64)
    torch.testing.assert_close(scheduler.alphas_cumprod[:-1].double(), expected[:-1], rtol=2e-4, atol=1e-7)
    assert torch.equal(signal_to_noise(scheduler.alphas_cumprod), compute_snr(scheduler, torch.arange(T)))
    assert float(scheduler.betas[-1]) == pytest.approx(0.999)


@given(st.floats(1e-6, 1e6), st.floats(0.1, 20), st.sampled_from(["noise", "velocity"]))
def test_min_snr_caps_the_weight_of_the_clean_codes_error(snr, gamma, prediction):
    """For every prediction type, the squared error of the implied clean code has the weight min(SNR, gamma)."""
    alpha, sigma = math.sqrt(snr / (1 + snr)), math.sqrt(1 / (1 + snr))
    error = 0.7  # of the prediction; x = (z - sigma n) / alpha, or alpha z - sigma v
    clean_error = error * (sigma if prediction == "velocity" else sigma / alpha)
    weight = float(min_snr_weight(torch.tensor([snr], dtype=torch.float64), gamma, prediction))
    assert weight * error**2 == pytest.approx(min(snr, gamma) * clean_error**2, rel=1e-6)
    assert 0 < weight <= 1


@pytest.fixture
def make_task(tmp_path, tiny_autoencoder, tiny_diffusion):
    def make(**changes):
        settings = Diffusion.model_validate(tiny_diffusion(**changes))
        decoder = Bright(Autoencoder.model_validate(tiny_autoencoder()), 32, 1)
        codes = torch.rand(10, 2, 4, 4, generator=torch.Generator().manual_seed(0))
        data = TrainingCodes(codes, decoder)
        task = DiffusionTask(settings, data, 0, make_accelerator(settings.execution, tmp_path))
        task.start(0)
        return task

    return make


@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_the_loss_of_a_step_is_the_min_snr_weighted_error_on_codes_from_minus_1_to_1(make_task, prediction):
    task = make_task(prediction=prediction)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(seed_for(0, "epoch", 0)))[:4]
    random = StepRandom(0, 0, 4, torch.device("cpu"))
    noise, timesteps = random.normal((4, 2, 4, 4)), random.integers(1000, (4,))
    total = 0.0
    for row, (index, t) in enumerate(zip(order.tolist(), timesteps.tolist(), strict=True)):
        bar = (math.cos(((t + 1) / T + 0.008) / 1.008 * math.pi / 2) / math.cos(0.008 / 1.008 * math.pi / 2)) ** 2
        clean = 2 * task.data.codes[index] - 1
        noisy = math.sqrt(bar) * clean + math.sqrt(1 - bar) * noise[row]
        velocity = math.sqrt(bar) * noise[row] - math.sqrt(1 - bar) * clean
        with torch.no_grad():
            predicted = task.model(noisy[None], t).sample[0]
        error = float((predicted - (noise[row] if prediction == "noise" else velocity)).square().mean())
        weight_of_clean = min(bar / (1 - bar), 5)
        total += weight_of_clean * error * ((1 - bar) / bar if prediction == "noise" else 1 - bar)
    assert float(task.step(0)["loss"]) == pytest.approx(total / 4, rel=1e-3)


def test_codes_get_fresh_noise_at_every_draw_within_their_bounds(make_task):
    """The codes of two draws of one step's items: the noise has the deviation asked for, and is new at each step."""
    noisy, plain = make_task(code_noise=0.05, training={"steps": 50}), make_task()
    noisy.data.codes[:], plain.data.codes[:] = 0.5, 0.5
    drawn = [(noisy.next_examples(step)[0].items / 2 + 0.5) for step in range(40)]
    assert not torch.equal(*drawn[:2])
    assert float(torch.cat(drawn).std()) == pytest.approx(0.05, rel=0.05)
    assert torch.equal(plain.next_examples(0)[0].items, torch.zeros(4, 2, 4, 4))
    noisy.data.codes[:] = 1.0
    assert float(noisy.next_examples(40)[0].items.max()) == 1.0


def test_the_rate_falls_to_its_floor(make_task):
    training = {"learning_rate": 1e-3, "learning_rate_floor": 2e-4, "steps": 10, "warmup_steps": 2}
    task, rates = make_task(training=training), []
    for step in range(10):
        task.step(step)
        rates.append(task.optimizers["model"].param_groups[0]["lr"])
    cosine = [2e-4 + 8e-4 * (1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)]
    assert rates == pytest.approx([5e-4, 1e-3, *cosine])


def test_gradients_are_clipped_to_their_largest_norm(make_task):
    task = make_task(training={"gradient_clip": 1e-3})
    numbers = task.step(0)
    norm = torch.cat([p.grad.flatten() for p in task.model.parameters() if p.grad is not None]).norm()
    assert float(numbers["gradient_norm"]) > 1e-3
    assert float(norm) == pytest.approx(1e-3, rel=1e-2)


@pytest.fixture
def ddpm(tiny_diffusion: Any, tmp_path: Path, tiny_images: Path) -> DDPMTask:
    how = {"unet": {"attention_resolutions": [16]}, "training": {"steps": 40, "learning_rate": 4e-3}}
    settings = parse_generator(
        tiny_diffusion(**how) | {"family": "ddpm", "dataset": "any", "autoencoder": None}, "here"
    )
    made = DDPMTask(settings, TrainingImages(tiny_images), 0, make_accelerator(settings.execution, tmp_path))
    made.start(0)
    return made


def test_the_defaults_are_hos_network_for_256_x_256() -> None:
    """Ho et al. 2020, appendix B: 114 million parameters; diffusers' blocks have a few more."""
    settings: Any = parse_generator({"family": "ddpm", "dataset": "any"}, "here")
    with torch.device("meta"):
        model = DDPM(settings, (3, 256, 256))
    assert 110e6 < sum(p.numel() for p in model.parameters()) < 118e6


def test_training_learns_to_denoise_images(ddpm: DDPMTask) -> None:
    errors = [float(ddpm.step(step)["error"]) for step in range(40)]
    assert sum(errors[-10:]) < 0.8 * sum(errors[:10])


def test_an_image_depends_on_the_seed_and_its_index_alone(ddpm: DDPMTask) -> None:
    model, sampler = ddpm.model.eval(), Sampler(kind="ddpm", steps=3)
    first, other = model.sample([0, 1], 5, sampler), model.sample([2, 7, 0], 5, sampler)
    assert first.shape == (2, 1, 32, 32) and first.abs().max() <= 1
    assert torch.equal(first[0], other[2])
    assert not torch.equal(first[0], model.sample([0, 1], 6, sampler)[0])


def test_more_levels_than_an_image_can_be_halved_are_refused(ddpm: DDPMTask) -> None:
    with pytest.raises(ValueError, match=r"unet.multipliers: 2 levels halve an image of size 3 1 times"):
        ddpm.settings.check_shape((1, 3, 3))
