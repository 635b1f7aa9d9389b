"""Sets of features, and the interval of their distance by a jackknife that takes each distance anew."""

from collections.abc import Callable
from typing import Any

import numpy as np

GROUPS, QUANTILE = 12, 2.201  # Student's t of 11 degrees of freedom at 97.5%


def gaussian(count: int, width: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, width)) + shift).astype(np.float32)


def half_width(sets: tuple[Any, Any], distance: Callable[[Any, Any], float]) -> float:
    """Half of the 95% interval, from the distances without each group of either set."""
    variance = 0.0
    for which, features in enumerate(sets):
        groups = np.random.default_rng(0).permutation(len(features)) % GROUPS  # of two images or three
        without = []
        for group in range(GROUPS):
            left = list(sets)
            left[which] = features[groups != group]
            without.append(distance(*left))
        variance += (GROUPS - 1) * float(np.var(without))
    return QUANTILE * variance**0.5
