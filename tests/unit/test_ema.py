"""Averaged weights: diffusers' numbers, lent to a model and taken back."""

import pytest
import torch
from diffusers.training_utils import EMAModel

from pipeline.training.ema import EMA


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


def test_a_state_of_another_model_is_not_taken() -> None:
    state = EMA(torch.nn.Linear(5, 3).parameters(), 0.9).state_dict()
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        EMA([*torch.nn.Linear(5, 3).parameters(), torch.nn.Parameter(torch.zeros(1))], 0.9).load_state_dict(state)
