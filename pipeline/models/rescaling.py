"""The scale on which diffusion sees codes (section 3.4), and where it clips them while it samples."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rescaling:
    """codes (..., C_z, H_z, W_z) -> (codes - shift) * scale, with one number for all channels or one for each.

    `bounds` are those of the codes themselves, which hold while sampling; None: they have none.
    """

    shift: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    bounds: tuple[float, float] | None = None

    def apply(self, codes: Tensor) -> Tensor:
        """Codes as the diffusion model sees them."""
        return (codes - _by_channel(self.shift, codes)) * _by_channel(self.scale, codes)

    def undo(self, rescaled: Tensor) -> Tensor:
        """Codes as the autoencoder decodes them, inside their bounds."""
        codes = rescaled / _by_channel(self.scale, rescaled) + _by_channel(self.shift, rescaled)
        return codes if self.bounds is None else codes.clamp(*self.bounds)

    def clip(self, rescaled: Tensor) -> Tensor:
        """Rescaled codes inside of what the codes' bounds become."""
        if self.bounds is None:
            return rescaled
        low, high = (self.apply(torch.full_like(rescaled[..., :1, :1], bound)) for bound in self.bounds)
        return rescaled.clamp(low, high)


def _by_channel(numbers: tuple[float, ...], codes: Tensor) -> Tensor | float:
    if len(numbers) == 1:
        return numbers[0]
    return torch.tensor(numbers, dtype=codes.dtype).to(codes.device, non_blocking=True)[:, None, None]


ROWS = 4096  # codes at once, where all are looked at


def standardized(codes: Tensor, bounds: tuple[float, float] | None) -> Rescaling:
    """Every channel of codes (count, C_z, H_z, W_z) to mean 0 and standard deviation 1; ValueError for a constant."""
    count = codes.numel() // codes.shape[1]
    mean = torch.stack([part.double().sum((0, 2, 3)) for part in codes.split(ROWS)]).sum(0) / count
    squares = [(part.double() - mean[:, None, None]).square().sum((0, 2, 3)) for part in codes.split(ROWS)]
    deviation = (torch.stack(squares).sum(0) / count).sqrt()
    if not (deviation > 0).all():
        channel = int(deviation.argmin())
        raise ValueError(f"rescaling: standardize: channel {channel} of the codes is the same everywhere; use range")
    return Rescaling(tuple(mean.tolist()), tuple((1 / deviation).tolist()), bounds)


def fit_rescaling(rule: str, bounds: tuple[float, float] | None, codes: Tensor, first_batch: list[int]) -> Rescaling:
    """Of codes (count, C_z, H_z, W_z) with these bounds; ValueError where the rule does not suit them.

    Key codes have strict bounds, which become [-1, 1] (section 3.4); the codes of other families have none, and LDM
    divides them by the standard deviation of the first batch (Rombach et al. 2022, appendix G).
    """
    match rule:
        case "none":
            return Rescaling()
        case "standardize":
            return standardized(codes, bounds)
        case "range" if bounds is None:
            raise ValueError("rescaling: range needs codes with bounds, which this family's have not; use first_batch")
    # Codes with bounds are not about zero: the middle of those becomes it.
    low, high = bounds or (0.0, 0.0)
    middle = ((low + high) / 2,)
    if bounds is not None and rule != "first_batch":
        return Rescaling(middle, (2 / (high - low),), bounds)
    return Rescaling(middle, (1 / float(codes[first_batch].double().std(correction=0)),), bounds)
