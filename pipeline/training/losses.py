"""The adversarial losses: equation 5's Wasserstein GAN with gradient penalty, and the other families'.

All images are (N, C, R, R) in [-1, 1]; a critic's scores are (N,), or (N, patches) where it scores patches.
Weights are appendix A.3's, in the config.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

Kind = Literal["wgan_gp", "logistic_r1", "hinge"]
Critic = Callable[[Tensor], Tensor]


def generator_loss(kind: Kind, fake_scores: Tensor) -> Tensor:
    """What the autoencoder minimizes: -E[D(fake)] (Arjovsky et al. 2017; Lim and Ye 2017 for hinge), or the
    non-saturating logistic."""
    return softplus(-fake_scores).mean() if kind == "logistic_r1" else -fake_scores.mean()


def critic_loss(kind: Kind, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """What the critic minimizes, without its penalty; hinge as VQGAN has it (Esser et al. 2021): half of the sum."""
    if kind == "wgan_gp":
        return fake_scores.mean() - real_scores.mean()
    if kind == "hinge":
        return 0.5 * (relu(1 + fake_scores).mean() + relu(1 - real_scores).mean())
    return softplus(fake_scores).mean() + softplus(-real_scores).mean()


def adaptive_weight(pull: Tensor, push: Tensor) -> Tensor:
    """VQGAN's weight of the adversarial loss (Esser et al. 2021, equation 7).

    pull, push: norms of the gradients of the other losses and of the adversarial one at the last layer.
    """
    return (pull / (push + 1e-4)).clamp(0, 1e4)


def gradient_penalty(critic: Critic, images: Tensor, reconstructions: Tensor, mix: Tensor) -> Tensor:
    """E[(||grad D(x)||_2 - 1)^2] between image and reconstruction, at `mix` (N, 1, 1, 1) (Gulrajani et al. 2017)."""
    between = (mix * images + (1 - mix) * reconstructions).detach().requires_grad_(True)
    return ((_gradient_norm(critic, between) - 1) ** 2).mean()


def r1_penalty(critic: Critic, images: Tensor) -> Tensor:
    """E[||grad D(x)||^2] / 2 on real images (Mescheder et al. 2018), the authors' code's choice."""
    return (_gradient_norm(critic, images.detach().requires_grad_(True)) ** 2).mean() / 2


def _gradient_norm(critic: Critic, images: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    # The small number keeps the root's derivative finite at zero.
    return (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
