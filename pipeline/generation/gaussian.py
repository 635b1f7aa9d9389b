"""Codes drawn from a full-covariance Gaussian that is fit to a collection's codes."""

import torch
from torch import Tensor


def fit_gaussian(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and a root of the full covariance of flattened codes: (D,), (D, D), float64."""
    flat = codes.flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    return flat.mean(0), vectors * values.clamp(min=0).sqrt()


def gaussian_codes(mean: Tensor, root: Tensor, generators: list[torch.Generator], shape: tuple[int, ...]) -> Tensor:
    """Codes (len(generators), *shape) drawn from the fitted Gaussian, which knows no bounds."""
    noise = torch.stack([torch.randn(len(mean), generator=g, dtype=torch.float64) for g in generators])
    return (mean + noise @ root.T).reshape(len(generators), *shape).float()
