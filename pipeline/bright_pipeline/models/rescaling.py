"""The rescaling of codes for diffusion (section 3.4), and their bounds while sampling."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rescaling:
    """codes (..., C_z, H_z, W_z) -> (codes - shift) * scale, with one number for all channels or one for each."""

    shift: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    bounds: tuple[float, float] | None = None  # of codes before rescaling, kept while sampling; None: unbounded

    def apply(self, codes: Tensor) -> Tensor:
        """Codes on the diffusion model's scale."""
        return (codes - _by_channel(self.shift, codes)) * _by_channel(self.scale, codes)

    def undo(self, rescaled: Tensor) -> Tensor:
        """Codes on the autoencoder's scale, within their bounds."""
        codes = rescaled / _by_channel(self.scale, rescaled) + _by_channel(self.shift, rescaled)
        return codes if self.bounds is None else codes.clamp(*self.bounds)

    def clip(self, rescaled: Tensor) -> Tensor:
        """Rescaled codes, clipped to the rescaled bounds."""
        if self.bounds is None:
            return rescaled
        low, high = (self.apply(torch.full_like(rescaled[..., :1, :1], bound)) for bound in self.bounds)
        return rescaled.clamp(low, high)


def _by_channel(numbers: tuple[float, ...], codes: Tensor) -> Tensor | float:
    if len(numbers) == 1:
        return numbers[0]
    return torch.tensor(numbers, dtype=codes.dtype).to(codes.device, non_blocking=True)[:, None, None]


ROWS = 4096  # codes per chunk


def fit_rescaling(rule: str, bounds: tuple[float, float] | None, codes: Tensor, first_batch: list[int]) -> Rescaling:
    """The rescaling of codes (count, C_z, H_z, W_z) with these bounds by a rule; ValueError where it does not apply.

    Key codes have bounds, which become [-1, 1] (section 3.4). Codes of other families are unbounded, and LDM divides
    them by the standard deviation of the first batch (Rombach et al. 2022, appendix G).
    """
    if rule == "none":
        return Rescaling()
    if rule == "standardize":  # each channel to mean 0 and deviation 1
        count = codes.numel() // codes.shape[1]
        mean = torch.stack([part.double().sum((0, 2, 3)) for part in codes.split(ROWS)]).sum(0) / count
        squares = [(part.double() - mean[:, None, None]).square().sum((0, 2, 3)) for part in codes.split(ROWS)]
        deviation = (torch.stack(squares).sum(0) / count).sqrt()
        if not (deviation > 0).all():
            constant = f"channel {int(deviation.argmin())} of the codes is the same everywhere"
            raise ValueError(f"rescaling: standardize: {constant}; use range")
        return Rescaling(tuple(mean.tolist()), tuple((1 / deviation).tolist()), bounds)
    if rule == "range" and bounds is None:
        raise ValueError("rescaling: range needs codes with bounds; this family has none: use first_batch")
    # The middle of the bounds becomes zero.
    low, high = bounds or (0.0, 0.0)
    middle = ((low + high) / 2,)
    if bounds is not None and rule != "first_batch":
        return Rescaling(middle, (2 / (high - low),), bounds)
    if not (deviation := float(codes[first_batch].double().std(correction=0))):
        raise ValueError("rescaling: first_batch: all numbers of its codes are the same; use range or none")
    return Rescaling(middle, (1 / deviation,), bounds)
