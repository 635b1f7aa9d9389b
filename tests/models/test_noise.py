"""Noise is a function of seed, image, step and use alone; a seed, of the root seed and a thing's name."""

import hashlib

import numpy as np
import torch
from bright_pipeline.base.seeds import seed_for
from bright_pipeline.models.noise import keys, normal
from hypothesis import given
from hypothesis import strategies as st

CPU = torch.device("cpu")
MASK = 2**64 - 1


def splitmix(state: int) -> int:
    """The generator's next number, in Python's integers (Steele et al. 2014, figure 17; java.util.SplittableRandom)."""
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & MASK
    return state ^ (state >> 31)


@given(st.integers(0, 2**63 - 1), st.integers(1, 9))
def test_numbers_are_box_and_mullers_of_splitmix64(key: int, count: int) -> None:
    pairs = (count + 1) // 2
    words = [splitmix((key + place * 0x9E3779B97F4A7C15) & MASK) for place in range(1, pairs + 1)]
    radii = [np.sqrt(-2 * np.log(((word >> 32) + 1) / 2**32)) for word in words]
    angles = [2 * np.pi * (word & 0xFFFFFFFF) / 2**32 for word in words]
    expected = [*(radii * np.cos(angles)), *(radii * np.sin(angles))][:count]
    found = normal(torch.tensor([key]), (count,))[0].numpy()
    np.testing.assert_allclose(found, np.array(expected, np.float32), rtol=1e-6, atol=1e-7)


def test_splitmix64_gives_its_published_numbers() -> None:
    """Of the state 1234567, as Vigna's splitmix64.c prints them."""
    state, published = 1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [splitmix((state + place * 0x9E3779B97F4A7C15) & MASK) for place in (1, 2, 3)] == published


def test_a_row_is_a_function_of_seed_index_step_and_use() -> None:
    def made(seed: int = 0, indices: tuple[int, ...] = (5, 7), what: str = "step", step: int = 2) -> torch.Tensor:
        return normal(keys(seed, indices, what, step, CPU), (3, 4))

    assert torch.equal(made()[1], made(indices=(7, 9, 5))[0])
    others = [made(seed=1), made(indices=(6, 8)), made(what="start"), made(step=3)]
    assert len({tuple(one.flatten().tolist()) for one in [made(), *others]}) == 5


names = st.lists(st.one_of(st.integers(0, 10**9), st.text("abcxyz ", min_size=1)), max_size=3)


@given(st.integers(0, 2**31), names)
def test_seed_is_the_start_of_the_sha256_of_its_names(root: int, path: list[str | int]) -> None:
    digest = hashlib.sha256("\x1f".join(map(str, (root, *path))).encode()).hexdigest()
    assert seed_for(root, *path) == int(digest[:16], 16) // 2 < 2**63
