"""From noise to key codes (DDPM, DDIM, DPM-Solver++), and from indices to images in batches."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from bright_pipeline.base.seeds import seed_for
from bright_pipeline.data.archive import to_uint8
from bright_pipeline.generation.sampling import sample
from bright_pipeline.models import diffusion
from bright_pipeline.models.autoencoder import inference_precision
from bright_pipeline.models.diffusion import build_unet, denoise, make_scheduler
from bright_pipeline.models.generator import noise_generators
from bright_pipeline.models.noise import keys, normal
from bright_pipeline.models.rescaling import Rescaling
from bright_pipeline.settings.diffusion import Diffusion, Sampler
from bright_pipeline.settings.fields import CodeSize
from pydantic import ValidationError

KINDS = ["ddpm", "ddim", "dpm_solver"]
SHAPE = (2, 4, 4)
KEYS = Rescaling((0.5,), (2.0,), (0.0, 1.0))  # from [0, 1] to [-1, 1]


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
        codes = denoise(unet, settings, Sampler(kind=kind, steps=6), indices, seed, SHAPE, KEYS)
        return dict(zip(indices, codes, strict=True))

    first, other = sample([0, 1, 2, 3]), sample([7, 2, 9, 0])
    assert torch.equal(first[2], other[2])
    assert torch.equal(first[0], other[0])
    different = [first[0], first[1], first[2], sample([0, 1, 2, 3], seed=1)[0]]
    assert len({tuple(code.flatten().tolist()) for code in different}) == 4


def alpha_bar(settings):
    return make_scheduler(settings, Sampler(kind="ddpm", steps=2)).alphas_cumprod


def perfect_network(settings, clean):
    """Predicts, of every noisy code, the noise or velocity that leads to these clean codes on the diffusion's scale."""
    bars = alpha_bar(settings)

    def predict(noisy, timestep):
        alpha, sigma = bars[timestep].sqrt(), (1 - bars[timestep]).sqrt()
        noise = (noisy - alpha * clean) / sigma
        return noise if settings.prediction == "noise" else alpha * noise - sigma * clean

    return Model(predict)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("prediction", "scale"), [("noise", KEYS), ("velocity", KEYS), ("noise", Rescaling((0.5,)))])
def test_a_perfect_network_leads_to_the_clean_code(settings, kind, prediction, scale):
    """Codes without bounds are not clipped."""
    settings = settings.model_copy(update={"prediction": prediction})
    generator = torch.Generator().manual_seed(1)
    bounded = scale.bounds is not None
    clean = torch.rand(2, *SHAPE, generator=generator) if bounded else 3 * torch.randn(2, *SHAPE, generator=generator)
    network = perfect_network(settings, scale.apply(clean))
    steps = 1000 if kind == "ddpm" else 20
    codes = denoise(network, settings, Sampler(kind=kind, steps=steps), [0, 1], 0, SHAPE, scale)
    assert bounded or codes.abs().max() > 3
    torch.testing.assert_close(codes, clean, atol=2e-3 if bounded else 0.02, rtol=0 if bounded else 0.01)


def test_ddim_ends_at_the_noise_that_is_asked_for(settings):
    """With a perfect network: the clean code, and the noise of the last step that is not above it."""
    scale, clean = Rescaling((0.2,), (0.5,)), torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))
    sampler = Sampler(kind="ddim", steps=100, final_noise=0.3)
    codes = denoise(perfect_network(settings, scale.apply(clean)), settings, sampler, [0, 1], 0, SHAPE, scale)
    scheduler = make_scheduler(settings, sampler)
    bars = scheduler.alphas_cumprod[scheduler.timesteps].double()
    deviation = max(float(d) for d in ((1 - bars) / bars).sqrt() if d <= 0.3)
    assert 0.25 < deviation <= 0.3
    noise = (scale.apply(codes) - scale.apply(clean)) / deviation
    first = torch.stack([torch.randn(SHAPE, generator=generator) for generator in noise_generators(0, [0, 1])])
    torch.testing.assert_close(noise, first, atol=0.05, rtol=0.05)  # the noise of its start
    with pytest.raises(ValidationError, match="final_noise: only for kind ddim"):
        Sampler(final_noise=0.3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_the_clean_code_is_clipped_at_every_step_to_the_bounds_of_keys(settings, kind, prediction, monkeypatch):
    """With noise predicted far too large, it would run away."""
    settings = settings.model_copy(update={"prediction": prediction})
    standardized = Rescaling((0.4, 0.7), (2.5, 5.0), (0.0, 1.0))  # channels to [-1, 1.5] and [-3.5, 1.5]
    given = []

    def recording(settings, sampler):
        scheduler = make_scheduler(settings, sampler)
        step = scheduler.step
        scheduler.step = lambda clean, *a, **k: given.append(clean) or step(clean, *a, **k)
        return scheduler

    monkeypatch.setattr(diffusion, "make_scheduler", recording)
    network = Model(lambda noisy, t: -30 * torch.ones_like(noisy))
    codes = denoise(network, settings, Sampler(kind=kind, steps=8), [0, 1], 0, SHAPE, standardized)
    assert len(given) == 8
    for clean in given:
        low, high = clean.amin((0, 2, 3)), clean.amax((0, 2, 3))
        assert (low >= torch.tensor([-1.0, -3.5]) - 1e-6).all() and (high <= 1.5 + 1e-6).all()
    torch.testing.assert_close(given[0].amax((0, 2, 3)), torch.tensor([1.5, 1.5]))
    assert torch.isfinite(codes).all() and codes.min() >= 0 and codes.max() <= 1


def test_ddim_takes_the_noise_that_leads_from_the_clipped_code_to_the_noisy_one(settings):
    """Written out: x clipped, n = (z - sqrt(a) x) / sqrt(1 - a), z' = sqrt(a') x + sqrt(1 - a') n."""
    bars = alpha_bar(settings)
    scheduler = make_scheduler(settings, Sampler(kind="ddim", steps=4))
    (generator,) = noise_generators(0, [0])
    noisy = torch.randn(SHAPE, generator=generator)
    steps = scheduler.timesteps.tolist()
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        clean = ((noisy - (1 - bars[step]).sqrt() * noisy.tanh()) / bars[step].sqrt()).clamp(-1, 1)
        noise = (noisy - bars[step].sqrt() * clean) / (1 - bars[step]).sqrt()
        after = bars[following] if following is not None else torch.tensor(1.0)
        noisy = after.sqrt() * clean + (1 - after).sqrt() * noise
    network = Model(lambda noisy, t: noisy.tanh())
    (found,) = denoise(network, settings, Sampler(kind="ddim", steps=4), [0], 0, SHAPE, KEYS)
    torch.testing.assert_close(found, (noisy / 2 + 0.5).clamp(0, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_timesteps_fall_from_noise_to_the_clean_code(settings, kind):
    timesteps = make_scheduler(settings, Sampler(kind=kind, steps=10)).timesteps.tolist()
    assert len(timesteps) == 10 and timesteps == sorted(timesteps, reverse=True)
    assert timesteps[0] >= 850 and timesteps[-1] <= 100
    assert make_scheduler(settings, Sampler()).timesteps.tolist() == list(range(999, -1, -1))


def test_noise_is_named_by_the_seed_and_the_image():
    (generator,) = noise_generators(3, [17])
    expected = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed_for(3, "image", 17)))
    assert torch.equal(torch.randn(SHAPE, generator=generator), expected)


def test_ddpm_is_ho_et_als_posterior_with_noise_named_by_seed_image_and_step(unet, settings):
    """Their equations 6 and 7, with the posterior's own variance."""
    indices, steps = [4, 1], 7
    bars = alpha_bar(settings).double()
    timesteps = make_scheduler(settings, Sampler(kind="ddpm", steps=steps)).timesteps.tolist()
    start = [torch.randn(SHAPE, generator=generator) for generator in noise_generators(3, indices)]
    noisy = torch.stack(start).double()
    for step, (t, before) in enumerate(zip(timesteps, [*timesteps[1:], None], strict=True)):
        bar, bar_before = bars[t], 1.0 if before is None else bars[before]
        beta = 1 - bar / bar_before
        with torch.no_grad():
            predicted = unet(noisy.float(), t).sample.double()
        clean = KEYS.clip(((noisy - (1 - bar).sqrt() * predicted) / bar.sqrt()).float()).double()
        mean = bar_before**0.5 * beta * clean + (bar / bar_before) ** 0.5 * (1 - bar_before) * noisy
        deviation = ((1 - bar_before) / (1 - bar) * beta) ** 0.5
        drawn = normal(keys(3, indices, "denoising", step, torch.device("cpu")), SHAPE)
        noisy = mean / (1 - bar) + deviation * drawn
    found = denoise(unet, settings, Sampler(kind="ddpm", steps=steps), indices, 3, SHAPE, KEYS)
    torch.testing.assert_close(found, KEYS.undo(noisy.float()), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["ddim", "dpm_solver"])
def test_the_others_draw_none(settings, kind, monkeypatch):
    monkeypatch.setattr(diffusion, "normal", lambda *_: pytest.fail("noise was drawn"))
    denoise(Model(lambda noisy, t: torch.zeros_like(noisy)), settings, Sampler(kind=kind, steps=5), [0], 0, SHAPE, KEYS)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_in_16_bits_are_nearly_those_in_32(unet, settings, kind):
    def sampled(precision):
        with inference_precision(precision, torch.device("cpu")):
            return denoise(unet, settings, Sampler(kind=kind, steps=4), [0, 1], 0, SHAPE, KEYS)

    codes, exact = sampled("bf16"), sampled("fp32")
    assert codes.dtype == torch.float32
    assert 0 < (codes - exact).abs().max() < 0.05


class Decoder(torch.nn.Module):
    """Shows the codes that it gets; counts how often it is frozen."""

    def __init__(self, code_range):
        super().__init__()
        self.anything = torch.nn.Parameter(torch.zeros(1))
        self.code_range, self.frozen_times = code_range, 0

    @contextmanager
    def frozen(self):
        self.frozen_times += 1
        yield

    def decode(self, codes):
        assert self.frozen_times == 1 and not torch.is_grad_enabled()
        return codes


@pytest.mark.parametrize(("first", "last", "sizes"), [(0, 7, [3, 3, 1]), (2, 8, [3, 3]), (4, 5, [1]), (3, 3, [])])
def test_the_networks_see_full_batches_and_surplus_images_are_dropped(first, last, sizes):
    seen = []

    def draw(indices):
        seen.append(indices)
        return torch.tensor(indices, dtype=torch.float32)[:, None, None, None] / 10

    batches = list(sample(draw, Decoder((0.0, 1.0)), range(first, last), 3))
    assert [len(batch) for batch in batches] == sizes
    assert seen == [[start, start + 1, start + 2] for start in range(first, last, 3)]
    if batches:
        expected = to_uint8(torch.arange(first, last) / 10)
        assert torch.equal(torch.cat(batches).flatten(), expected)


def test_codes_are_decoded_inside_their_bounds_and_images_as_they_are():
    values = torch.tensor([-3.0, 0.5, 2.0, -0.5])[:, None, None, None]

    def found(decoder):
        (batch,) = sample(lambda indices: values, decoder, range(4), 4)
        return batch.flatten().tolist()

    assert found(Decoder((0.0, 1.0))) == [128, 191, 255, 128]
    assert found(Decoder(None)) == found(None) == [0, 191, 255, 64]


def test_ddims_noise_is_each_images_own_and_absent_without_eta(settings):
    def made(eta, indices):
        network, sampler = Model(lambda noisy, t: 0.5 * noisy), Sampler(kind="ddim", steps=5, eta=eta)
        return denoise(network, settings, sampler, indices, 0, SHAPE, KEYS)

    noisy, plain = made(1.0, [0, 1, 2]), made(0.0, [0, 1, 2])
    assert not torch.allclose(noisy, plain)
    assert torch.equal(made(1.0, [2, 1]), noisy[[2, 1]])
    with pytest.raises(ValidationError, match="eta: only for kind ddim"):
        Sampler(kind="ddpm", eta=0.5)
