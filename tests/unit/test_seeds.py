"""Seeds name things: a hash of the root seed and the thing's name."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.seeds import seed_for

names = st.lists(st.one_of(st.integers(0, 10**9), st.text("abcxyz ", min_size=1)), max_size=3)


@given(st.integers(0, 2**31), names)
def test_seed_is_the_start_of_the_sha256_of_its_names(root: int, path: list[str | int]) -> None:
    digest = hashlib.sha256("\x1f".join(map(str, (root, *path))).encode()).hexdigest()
    assert seed_for(root, *path) == int(digest[:16], 16) // 2 < 2**63
