"""Codes on the scale that a diffusion model works on (section 3.4).

Key codes have strict bounds, which become [-1, 1]; the codes of other families have none, and LDM divides
them by the standard deviation of the first batch (Rombach et al. 2022, appendix G).
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Rescaling:
    """codes -> (codes - shift) * scale; `bound` is where rescaled codes are clipped while sampling, None: nowhere."""

    shift: float = 0.0
    scale: float = 1.0
    bound: float | None = None

    def apply(self, codes: Tensor) -> Tensor:
        """Codes as the diffusion model sees them."""
        return (codes - self.shift) * self.scale

    def undo(self, rescaled: Tensor) -> Tensor:
        """Codes as the autoencoder decodes them, inside their bounds."""
        if self.bound is not None:
            rescaled = rescaled.clamp(-self.bound, self.bound)
        return rescaled / self.scale + self.shift


def fit_rescaling(rule: str, bounds: tuple[float, float] | None, first_batch: Tensor) -> Rescaling:
    """Of codes with these bounds; first_batch: (N, C_z, H_z, W_z). ValueError where the rule lacks bounds."""
    if rule == "range" and bounds is None:
        raise ValueError("rescaling: range needs codes with bounds, which this family's have not; use first_batch")
    if bounds is not None and rule in ("auto", "range"):
        low, high = bounds
        return Rescaling((low + high) / 2, 2 / (high - low), 1.0)
    if rule == "none":
        return Rescaling()
    return Rescaling(0.0, 1 / float(first_batch.double().std(correction=0)))
