"""Path-length regularization (Karras et al. 2020, section 3.2): a step in w moves the image by a fixed amount."""

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor, nn


def path_lengths(images: Tensor, styles: Sequence[Tensor], noise: Tensor) -> Tensor:
    """||J^T y|| of each image, (N,), with a graph: J is the derivative of the image with respect to w.

    images: (N, C, H, W), made from `styles`, a tensor w (N, s) for each layer. noise: normal numbers of the
    images' shape; y is noise / sqrt(H W), so that the length does not depend on the resolution. The square is
    averaged over layers, as in the authors' code.
    """
    weighed = (images * noise).sum() / sqrt(images.shape[2] * images.shape[3])
    gradients = torch.autograd.grad(weighed, list(styles), create_graph=True)
    return torch.stack([gradient.square().sum(1) for gradient in gradients]).mean(0).sqrt()


class Penalties(nn.Module):
    """The lazy penalties as last taken, for the history, and the running mean of path lengths, each length's target."""

    r1: Tensor
    path_penalty: Tensor
    path_length: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("r1", "path_penalty", "path_length"):
            self.register_buffer(name, torch.zeros(()))

    @torch.no_grad()
    def follow(self, length: Tensor, decay: float) -> Tensor:
        """Moves the mean by `decay` towards the mean length of a batch; returns the new mean."""
        return self.path_length.lerp_(length.detach(), decay).clone()
