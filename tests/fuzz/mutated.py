"""Damaged versions of valid files: cut, repeated, overwritten, joined with others, with other numbers in their text."""

import re

from hypothesis import strategies as st

WORDS = [b"", b"\0", b"\xff" * 8, b"null", b"NaN", b"1e999", b"-1", b"9" * 400, b"[" * 50, b"{}", b'""', b"../.."]
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
CHANGES = ("flip", "flip", "cut", "end", "repeat", "overwrite", "number", "join")


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of these contents after one to six changes."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 6))):
        content = _changed(draw, draw(st.sampled_from(CHANGES)), content, seeds)
    return content


def _changed(draw: st.DrawFn, change: str, content: bytes, seeds: list[bytes]) -> bytes:
    first = draw(st.integers(0, len(content)))
    last = draw(st.integers(first, min(len(content), first + 64)))
    match change:
        case "flip" if first < len(content):
            return content[:first] + bytes([content[first] ^ (1 << draw(st.integers(0, 7)))]) + content[first + 1 :]
        case "cut":
            return content[:first] + content[last:]
        case "end":
            return content[:first]
        case "repeat":
            return content[:last] + content[first:last] * draw(st.integers(1, 4)) + content[last:]
        case "overwrite":
            word = draw(st.one_of(st.sampled_from(WORDS), st.binary(max_size=8)))
            return content[:first] + word + content[last:]
        case "number" if found := list(NUMBER.finditer(content)):
            one = draw(st.sampled_from(found))
            return content[: one.start()] + draw(st.sampled_from(WORDS)) + content[one.end() :]
        case "join":
            other = draw(st.sampled_from(seeds))
            return content[:first] + other[draw(st.integers(0, len(other))) :]
    return content
