"""VQGAN's discriminator, its hinge loss and its adaptive weight."""

import pytest
import torch

from pipeline.models.discriminator import PatchDiscriminator
from pipeline.settings.autoencoder import Discriminator
from pipeline.training.losses import adaptive_weight, discriminator_loss, generator_loss


def test_three_layers_of_64_channels_are_patchgans_2_8_million_parameters_and_30_x_30_patches():
    """taming-transformers' NLayerDiscriminator(input_nc=3, ndf=64, n_layers=3) of 256 x 256 images."""
    network = PatchDiscriminator(Discriminator(kind="patch", channels=64), 256, 3)
    assert sum(p.numel() for p in network.parameters()) == 2_765_633
    assert network(torch.zeros(1, 3, 256, 256)).shape == (1, 30 * 30)


def test_a_score_sees_its_patch_alone():
    network = PatchDiscriminator(Discriminator(kind="patch", channels=8, layers=2), 64, 1).eval()
    image = torch.randn(1, 1, 64, 64).requires_grad_(True)
    scores = network(image)
    (gradient,) = torch.autograd.grad(scores[0, 0], image)
    rows = gradient[0, 0].abs().sum(1).nonzero()
    assert 0 < int(rows.max()) < 32


def test_the_hinge_loss_wants_scores_beyond_one():
    real, fake = torch.tensor([[2.0, 0.5]]), torch.tensor([[-3.0, 0.0]])
    assert float(discriminator_loss("hinge", real, fake)) == pytest.approx(0.5 * (0.25 + 0.5))
    assert float(generator_loss("hinge", fake)) == pytest.approx(1.5)


def test_the_adaptive_weight_is_the_ratio_of_gradients_within_its_bounds():
    assert float(adaptive_weight(torch.tensor(3.0), torch.tensor(1.5))) == pytest.approx(2, rel=1e-3)
    assert float(adaptive_weight(torch.tensor(3.0), torch.tensor(0.0))) == 1e4
