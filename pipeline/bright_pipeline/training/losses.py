"""Adversarial losses: equation 5's Wasserstein GAN with gradient penalty, and those of the other families.

All images are (N, C, R, R) in [-1, 1]. A discriminator's scores are (N,), or (N, patches) where it scores patches.
Their weights are those of appendix A.3, in the config.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

Kind = Literal["wgan_gp", "logistic_r1", "hinge"]
Discriminator = Callable[[Tensor], Tensor]


def generator_loss(kind: Kind, fake_scores: Tensor) -> Tensor:
    """The generator's loss: -E[D(fake)] (Arjovsky et al. 2017; Lim and Ye 2017 for hinge), or non-saturating logistic.

    The autoencoder is the generator of equation 5.
    """
    return softplus(-fake_scores).mean() if kind == "logistic_r1" else -fake_scores.mean()


def discriminator_loss(kind: Kind, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """The discriminator's loss without its penalty; hinge is half of the sum, as in VQGAN (Esser et al. 2021)."""
    if kind == "wgan_gp":
        return fake_scores.mean() - real_scores.mean()
    if kind == "hinge":
        return 0.5 * (relu(1 + fake_scores).mean() + relu(1 - real_scores).mean())
    return softplus(fake_scores).mean() + softplus(-real_scores).mean()


def adaptive_weight(reconstruction_norm: Tensor, adversarial_norm: Tensor) -> Tensor:
    """VQGAN's weight of the adversarial loss (Esser et al. 2021, equation 7), at most 10,000.

    Both are norms of gradients at the last layer: of the reconstruction losses, and of the adversarial loss.
    """
    return (reconstruction_norm / (adversarial_norm + 1e-4)).clamp(0, 1e4)


def gradient_penalty(discriminator: Discriminator, images: Tensor, reconstructions: Tensor, mix: Tensor) -> Tensor:
    """E[(||grad D(x)||_2 - 1)^2] at x = mix images + (1 - mix) reconstructions (Gulrajani et al. 2017).

    mix: (N, 1, 1, 1) in [0, 1].
    """
    between = (mix * images + (1 - mix) * reconstructions).detach().requires_grad_(True)
    return ((_gradient_norm(discriminator, between) - 1) ** 2).mean()


def r1_penalty(discriminator: Discriminator, images: Tensor) -> Tensor:
    """E[||grad D(x)||^2] / 2 on real images (Mescheder et al. 2018), the penalty of the authors' code."""
    return (_gradient_norm(discriminator, images.detach().requires_grad_(True)) ** 2).mean() / 2


def _gradient_norm(discriminator: Discriminator, images: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    # The small number keeps the derivative of the square root finite at zero.
    return (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
