"""Numbers of a training in closed form: adversarial losses of equation 5 and VQGAN's, EMA, learning rate."""

import math

import pytest
import torch
from bright_pipeline.training.losses import (
    adaptive_weight,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    r1_penalty,
)
from bright_pipeline.training.task import EMA, learning_rate
from diffusers.training_utils import EMAModel
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

numbers = st.floats(-30, 30, width=32)
scores = arrays("float32", st.integers(1, 6), elements=numbers).map(torch.from_numpy)
SHAPE = (3, 2, 4, 4)


def images(seed, count=3):
    return torch.rand(count, *SHAPE[1:], generator=torch.Generator().manual_seed(seed)) * 2 - 1


class LinearCritic(torch.nn.Module):
    """w . x, whose gradient is w everywhere."""

    def __init__(self, norm):
        super().__init__()
        weight = images(9, 1)
        self.weight = torch.nn.Parameter(weight * norm / weight.norm())

    def forward(self, x):
        return (x * self.weight).flatten(1).sum(1)


@given(scores, scores)
def test_wasserstein_losses_are_differences_of_mean_scores(real, fake):
    mean_real, mean_fake = sum(real.tolist()) / len(real), sum(fake.tolist()) / len(fake)
    assert float(discriminator_loss("wgan_gp", real, fake)) == pytest.approx(mean_fake - mean_real, abs=1e-4)
    assert float(generator_loss("wgan_gp", fake)) == pytest.approx(-mean_fake, abs=1e-4)


@given(scores, scores)
def test_logistic_losses_are_cross_entropies(real, fake):
    def minus_log_sigmoid(values):
        return sum(math.log1p(math.exp(-value)) for value in values.tolist()) / len(values)

    critic = minus_log_sigmoid(real) + minus_log_sigmoid(-fake)
    assert float(discriminator_loss("logistic_r1", real, fake)) == pytest.approx(critic, rel=1e-4, abs=1e-4)
    assert float(generator_loss("logistic_r1", fake)) == pytest.approx(minus_log_sigmoid(fake), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("norm", [0.25, 1.0, 3.0])
def test_penalties_of_a_linear_critic_and_their_gradients_are_functions_of_its_norm(norm):
    critic = LinearCritic(norm)
    penalty = gradient_penalty(critic, images(0), images(1), torch.rand(3, 1, 1, 1))
    r1, direction = r1_penalty(critic, images(0)), critic.weight.detach() / norm
    assert float(penalty.detach()) == pytest.approx((norm - 1) ** 2, abs=1e-5)
    assert float(r1.detach()) == pytest.approx(norm**2 / 2, rel=1e-5)
    for value, slope in ((penalty, 2 * (norm - 1)), (r1, norm)):
        (gradient,) = torch.autograd.grad(value, critic.weight)
        torch.testing.assert_close(gradient, slope * direction, atol=1e-5, rtol=1e-5)


def test_the_penalty_is_taken_between_an_image_and_its_own_reconstruction():
    """Of the critic |x|^2 / 2 the gradient is x itself."""
    real, fake, mix = images(0), images(1), torch.tensor([0.0, 0.3, 1.0]).view(3, 1, 1, 1)
    penalty = gradient_penalty(lambda x: x.square().flatten(1).sum(1) / 2, real, fake, mix)
    norms = [float((m * a + (1 - m) * b).norm()) for m, a, b in zip(mix.flatten(), real, fake, strict=True)]
    assert float(penalty.detach()) == pytest.approx(sum((norm - 1) ** 2 for norm in norms) / 3, rel=1e-5)


def test_a_critic_that_is_flat_has_a_penalty_and_a_finite_gradient():
    weight = torch.zeros(SHAPE[1:], requires_grad=True)
    penalty = gradient_penalty(lambda x: (x * weight).flatten(1).sum(1), images(0), images(1), torch.rand(3, 1, 1, 1))
    penalty.backward()
    assert float(penalty.detach()) == pytest.approx(1, abs=1e-4)
    assert torch.isfinite(weight.grad).all()


def test_penalties_do_not_reach_the_autoencoder():
    reconstructions = images(1).requires_grad_(True)
    penalty = gradient_penalty(LinearCritic(2.0), images(0), reconstructions, torch.rand(3, 1, 1, 1))
    assert torch.autograd.grad(penalty, reconstructions, allow_unused=True) == (None,)


def test_the_hinge_loss_wants_scores_beyond_one():
    real, fake = torch.tensor([[2.0, 0.5]]), torch.tensor([[-3.0, 0.0]])
    assert float(discriminator_loss("hinge", real, fake)) == pytest.approx(0.5 * (0.25 + 0.5))
    assert float(generator_loss("hinge", fake)) == pytest.approx(1.5)


def test_the_adaptive_weight_is_the_ratio_of_gradients_within_its_bounds():
    assert float(adaptive_weight(torch.tensor(3.0), torch.tensor(1.5))) == pytest.approx(2, rel=1e-3)
    assert float(adaptive_weight(torch.tensor(3.0), torch.tensor(0.0))) == 1e4


def moved(model: torch.nn.Module, step: int) -> None:
    """The weights of a step."""
    random = torch.Generator().manual_seed(step)
    for weight in model.parameters():
        weight.data = torch.randn(weight.shape, generator=random)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_averages_are_diffusers_to_the_bit(decay: float) -> None:
    model = torch.nn.Linear(5, 3)
    own, other = EMA(model.parameters(), decay), EMAModel(model.parameters(), decay=decay)
    for step in range(40):
        moved(model, step)
        own.step(model.parameters())
        other.step(model.parameters())
        assert all(map(torch.equal, own.weights, other.shadow_params))


def test_a_model_has_its_own_weights_back_after_an_error_too() -> None:
    model = torch.nn.Linear(5, 3)
    average = EMA(model.parameters(), 0.9)
    moved(model, 1)
    own = [weight.detach().clone() for weight in model.parameters()]
    with pytest.raises(ZeroDivisionError), average.applied_to(model.parameters()):
        assert all(map(torch.equal, model.parameters(), average.weights))
        assert not any(map(torch.equal, own, average.weights))
        raise ZeroDivisionError
    assert all(map(torch.equal, model.parameters(), own))


def rates(peak, steps, decay, **how):
    return [learning_rate(peak, step, steps, decay, **how) for step in range(steps + 1)]


def test_rates_warm_up_and_decay_from_their_step_on() -> None:
    diffusion = rates(0.5, 110, "cosine", warmup=10, decay_from=10)
    assert [diffusion[step] for step in (0, 4, 9, 10, 60)] == pytest.approx([0.05, 0.25, 0.5, 0.5, 0.25])
    assert (diffusion[35], diffusion[110]) == pytest.approx((0.5 * math.cos(math.pi / 8) ** 2, 0), abs=1e-12)
    assert rates(0.5, 100, "none", warmup=10)[9:] == [0.5] * 92
    expected = [min(1, (step + 1) / 8) * 0.5 * (1 + math.cos(math.pi * step / 40)) for step in range(41)]
    assert rates(1.0, 40, "cosine", warmup=32, per_step=4) == pytest.approx(expected), "an autoencoder's, over images"
