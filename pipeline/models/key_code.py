"""Key codes on their way to the tables: tiling (section 3.2), relaxed precision (section 3.4)."""

from torch import Tensor


def tile(code: Tensor, feature_size: int) -> Tensor:
    """Repeat each key along both axes: (N, C_z, H_z, W_z) -> (N, C_z, H_d, W_d)."""
    height, width = code.shape[-2:]
    return code.repeat_interleave(feature_size // height, dim=-2).repeat_interleave(feature_size // width, dim=-1)


def perturb(code: Tensor, finest_resolution: int, noise: Tensor) -> Tensor:
    """Relax the precision of a key code (section 3.4, figure 5c).

    code: in [0, 1]; noise: standard normal numbers of the same shape. The standard deviation is a quarter
    of the finest cell, 1 / (4 r_max); the perturbed key stays in [0, 1].
    """
    return (code + noise / (4 * finest_resolution)).clamp(0, 1)
