"""From noise to key codes: DDPM, DDIM, DPM-Solver++."""

from types import SimpleNamespace

import pytest
import torch

from pipeline.base.seeds import seed_for
from pipeline.models import diffusion
from pipeline.models.diffusion import Rescaling, build_unet, denoise, make_scheduler
from pipeline.models.generator import noise_generators
from pipeline.settings.diffusion import Diffusion, Sampler
from pipeline.settings.fields import CodeSize

KINDS = ["ddpm", "ddim", "dpm_solver"]
SHAPE = (2, 4, 4)
KEYS = Rescaling(0.5, 2.0, 1.0)  # from [0, 1] to [-1, 1]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def settings(tiny_diffusion):
    return Diffusion.model_validate(tiny_diffusion())


@pytest.fixture(scope="module")
def unet(settings):
    torch.manual_seed(0)
    return build_unet(settings.unet, CodeSize(4, 4, 2)).eval()


class Model(torch.nn.Module):
    """A network that `predict` stands for."""

    def __init__(self, predict):
        super().__init__()
        self.anything = torch.nn.Parameter(torch.zeros(1))
        self.predict = predict

    def forward(self, noisy, timestep):
        return SimpleNamespace(sample=self.predict(noisy, int(timestep)))


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_does_not_depend_on_its_companions_or_its_place(unet, settings, kind):
    def sample(indices, seed=0):
        return dict(
            zip(indices, denoise(unet, settings, Sampler(kind=kind, steps=6), indices, seed, SHAPE, KEYS), strict=True)
        )

    first, other = sample([0, 1, 2, 3]), sample([7, 2, 9, 0])
    assert torch.equal(first[2], other[2])
    assert torch.equal(first[0], other[0])
    different = [first[0], first[1], first[2], sample([0, 1, 2, 3], seed=1)[0]]
    assert len({tuple(code.flatten().tolist()) for code in different}) == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 5, 20])
def test_codes_are_keys(unet, settings, kind, steps):
    codes = denoise(unet, settings, Sampler(kind=kind, steps=steps), [0, 1], 0, SHAPE, KEYS)
    assert codes.shape == (2, *SHAPE)
    assert codes.dtype == torch.float32
    assert codes.min() >= 0
    assert codes.max() <= 1


def alpha_bar(settings):
    return make_scheduler(settings, Sampler(kind="ddpm", steps=2), 1.0).alphas_cumprod


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_network_leads_to_the_clean_code(settings, kind):
    clean = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(1))
    bars = alpha_bar(settings)

    def true_noise(noisy, timestep):
        return (noisy - bars[timestep].sqrt() * (2 * clean - 1)) / (1 - bars[timestep]).sqrt()

    steps = 1000 if kind == "ddpm" else 20
    codes = denoise(Model(true_noise), settings, Sampler(kind=kind, steps=steps), [0, 1], 0, SHAPE, KEYS)
    torch.testing.assert_close(codes, clean, atol=2e-3, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_predicted_clean_code_is_clipped_at_every_step(settings, kind, monkeypatch):
    """With noise predicted far too large, it would run away."""
    predicted_clean = []

    def recording(settings, sampler, bound):
        scheduler = make_scheduler(settings, sampler, bound)
        if kind == "dpm_solver":
            convert = scheduler.convert_model_output
            scheduler.convert_model_output = lambda *a, **k: (
                predicted_clean.append(convert(*a, **k)) or predicted_clean[-1]
            )
        else:
            step = scheduler.step

            def recorded(*a, **k):
                result = step(*a, **k)
                predicted_clean.append(result.pred_original_sample)
                return result

            scheduler.step = recorded
        return scheduler

    monkeypatch.setattr(diffusion, "make_scheduler", recording)
    codes = denoise(
        Model(lambda noisy, t: -30 * torch.ones_like(noisy)),
        settings,
        Sampler(kind=kind, steps=8),
        [0, 1],
        0,
        SHAPE,
        KEYS,
    )
    assert len(predicted_clean) == 8
    assert all(float(clean.abs().max()) <= 1 for clean in predicted_clean)
    assert float(predicted_clean[0].max()) == 1
    assert torch.isfinite(codes).all()


@pytest.mark.parametrize("kind", KINDS)
def test_timesteps_fall_from_noise_to_the_clean_code(settings, kind):
    timesteps = make_scheduler(settings, Sampler(kind=kind, steps=10), 1.0).timesteps.tolist()
    assert len(timesteps) == 10
    assert timesteps == sorted(timesteps, reverse=True)
    assert timesteps[0] >= 850
    assert timesteps[-1] <= 100


def test_all_steps_of_ddpm_are_all_timesteps(settings):
    assert make_scheduler(settings, Sampler(), 1.0).timesteps.tolist() == list(range(999, -1, -1))


def test_noise_is_named_by_the_seed_and_the_image(unet, settings):
    (generator,) = noise_generators(3, [17])
    expected = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed_for(3, "image", 17)))
    assert torch.equal(torch.randn(SHAPE, generator=generator), expected)
    seen = []
    model = Model(lambda noisy, t: seen.append(noisy.clone()) or torch.zeros_like(noisy))
    denoise(model, settings, Sampler(kind="ddim", steps=1), [17], 3, SHAPE, KEYS)
    assert torch.equal(seen[0][0], expected)


@pytest.mark.parametrize(("kind", "draws"), [("ddpm", True), ("ddim", False), ("dpm_solver", False)])
def test_ddpm_draws_noise_of_its_own_while_it_samples_and_the_others_none(settings, kind, draws, monkeypatch):
    generators = noise_generators(0, [0])
    monkeypatch.setattr(diffusion, "noise_generators", lambda seed, indices: generators)
    denoise(Model(lambda noisy, t: torch.zeros_like(noisy)), settings, Sampler(kind=kind, steps=5), [0], 0, SHAPE, KEYS)
    (after_the_start,) = noise_generators(0, [0])
    torch.randn(SHAPE, generator=after_the_start)
    assert torch.equal(generators[0].get_state(), after_the_start.get_state()) != draws


@pytest.mark.parametrize("kind", KINDS)
def test_codes_without_bounds_are_not_clipped(settings, kind):
    clean = 3 * torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))
    bars, scale = alpha_bar(settings), Rescaling(scale=0.5)

    def true_noise(noisy, timestep):
        return (noisy - bars[timestep].sqrt() * scale.apply(clean)) / (1 - bars[timestep]).sqrt()

    steps = 1000 if kind == "ddpm" else 20
    codes = denoise(Model(true_noise), settings, Sampler(kind=kind, steps=steps), [0, 1], 0, SHAPE, scale)
    assert codes.abs().max() > 3
    torch.testing.assert_close(codes, clean, atol=0.02, rtol=0.01)
