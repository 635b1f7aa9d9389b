"""Sets of features."""

import numpy as np


def gaussian(count: int, width: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, width)) + shift).astype(np.float32)
