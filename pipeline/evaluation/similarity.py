"""SSIM and PSNR of images in [0, 1], with torchmetrics' numbers to the bit (tests compare them)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.models.autoencoder import without_tf32

WINDOW, SIGMA = 11, 1.5  # of the Gaussian
C1, C2 = 0.01**2, 0.03**2  # for a range of 1


@without_tf32()
def ssim(originals: Tensor, reconstructions: Tensor) -> Tensor:
    """SSIM of each image (Wang et al. 2004), with reflected borders; (N, C, R, R) in [0, 1] to (N,)."""
    one, other = (F.pad(images, [WINDOW // 2] * 4, mode="reflect") for images in (reconstructions, originals))
    products = torch.cat((one, other, one * one, other * other, one * other))
    channels = originals.shape[1]
    window = _window(originals).expand(channels, 1, WINDOW, WINDOW)
    mean, other_mean, square, other_square, product = F.conv2d(products, window, groups=channels).chunk(5)
    means = mean * other_mean
    squares, other_squares = mean.square(), other_mean.square()
    variances = (square - squares).clamp(min=0.0) + (other_square - other_squares).clamp(min=0.0)
    above = (2 * means + C1) * (2 * (product - means) + C2)
    below = (squares + other_squares + C1) * (variances + C2)
    return (above / below).flatten(1).mean(1)


def psnr(originals: Tensor, reconstructions: Tensor) -> Tensor:
    """PSNR of each image in dB, infinite for an exact copy; (N, C, R, R) in [0, 1] to (N,)."""
    errors = (reconstructions - originals).square().sum((1, 2, 3)) / originals[0].numel()
    return -errors.log() * (10 / torch.log(torch.tensor(10.0)))


def _window(like: Tensor) -> Tensor:
    """The weights (11, 11), which add up to 1."""
    distances = torch.arange(WINDOW, dtype=like.dtype, device=like.device) - WINDOW // 2
    weights = torch.exp(-((distances / SIGMA) ** 2) / 2)
    weights = weights / weights.sum()
    return weights[:, None] @ weights[None]
