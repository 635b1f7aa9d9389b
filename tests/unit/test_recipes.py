"""Recipes of other publications; inconsistent settings are refused in one line."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from pipeline.base.errors import InputError
from pipeline.families import parse_autoencoder
from pipeline.models.diffusion import denoise
from pipeline.models.rescaling import Rescaling, fit_rescaling
from pipeline.settings.diffusion import Diffusion, Sampler

PATCH = {"kind": "patch"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": {"adversarial": {"adaptive": True, "weight": 0}}}, "weight: must be above 0 if adaptive"),
        ({"discriminator": PATCH}, "discriminator.kind: must be stylegan2 with the gradient penalty of wgan_gp"),
        (
            {"discriminator": PATCH, "losses": {"adversarial": {"kind": "logistic_r1"}}},
            "stylegan2 with the gradient penalty of logistic_r1",
        ),
        (
            {"discriminator": PATCH, "losses": {"adversarial": {"kind": "hinge"}}, "execution": {"gpus": 2}},
            "execution.gpus: discriminator.kind patch needs one process, not 2",
        ),
    ],
)
def test_an_inconsistent_adversarial_loss_is_refused(
    tiny_autoencoder: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        parse_autoencoder(tiny_autoencoder(**changes), "config")
    right = {"discriminator": PATCH, "losses": {"adversarial": {"kind": "hinge"}}}
    assert parse_autoencoder(tiny_autoencoder(**right), "config").discriminator.kind == "patch"


def test_ddims_noise_is_each_images_own_and_absent_without_eta(tiny_diffusion: Any) -> None:
    settings = Diffusion.model_validate(tiny_diffusion())
    model = torch.nn.Linear(1, 1)  # a module with parameters, which predicts half of the noisy codes as noise
    model.forward = lambda noisy, timestep: SimpleNamespace(sample=0.5 * noisy)  # type: ignore[method-assign]

    def made(eta: float, indices: list[int]) -> torch.Tensor:
        sampler = Sampler(kind="ddim", steps=5, eta=eta)
        return denoise(model, settings, sampler, indices, 0, (2, 4, 4), Rescaling(bounds=(-1.0, 1.0)))

    noisy, plain = made(1.0, [0, 1, 2]), made(0.0, [0, 1, 2])
    assert not torch.allclose(noisy, plain)
    assert torch.equal(made(1.0, [2, 1]), noisy[[2, 1]])
    with pytest.raises(ValidationError, match="eta: only for kind ddim"):
        Sampler(kind="ddpm", eta=0.5)


def test_bounded_codes_are_about_zero_after_first_batch_and_keep_their_bounds() -> None:
    codes = torch.rand(64, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    rescaling = fit_rescaling("first_batch", (0.0, 1.0), codes, list(range(64)))
    scaled = rescaling.apply(codes)
    assert abs(float(scaled.mean())) < 0.1
    assert float(scaled.std()) == pytest.approx(1, rel=1e-3)
    assert rescaling.bounds == (0.0, 1.0)
    torch.testing.assert_close(rescaling.undo(scaled), codes)
    unbounded = fit_rescaling("first_batch", None, codes, list(range(64)))
    assert (unbounded.shift, unbounded.bounds) == ((0.0,), None)
