"""Bytes that were right once: cut, repeated, overwritten, joined with others, with other numbers in their text."""

import re

from hypothesis import strategies as st

WORDS = [b"", b"\0", b"\xff" * 8, b"null", b"NaN", b"1e999", b"-1", b"9" * 400, b"[" * 50, b"{}", b'""', b"../.."]
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of these contents after one to six changes."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 6))):
        content = draw(st.sampled_from(CHANGES))(draw, content, seeds)
    return content


def _span(draw: st.DrawFn, content: bytes) -> tuple[int, int]:
    first = draw(st.integers(0, len(content)))
    return first, draw(st.integers(first, min(len(content), first + 64)))


def _flip(draw: st.DrawFn, content: bytes, seeds: list[bytes]) -> bytes:
    if not content:
        return content
    place = draw(st.integers(0, len(content) - 1))
    return content[:place] + bytes([content[place] ^ (1 << draw(st.integers(0, 7)))]) + content[place + 1 :]


def _cut(draw: st.DrawFn, content: bytes, seeds: list[bytes]) -> bytes:
    first, last = _span(draw, content)
    return content[:first] + content[last:]


def _end(draw: st.DrawFn, content: bytes, seeds: list[bytes]) -> bytes:
    return content[: draw(st.integers(0, len(content)))]


def _repeat(draw: st.DrawFn, content: bytes, seeds: list[bytes]) -> bytes:
    first, last = _span(draw, content)
    return content[:last] + content[first:last] * draw(st.integers(1, 4)) + content[last:]


def _overwrite(draw: st.DrawFn, content: bytes, seeds: list[bytes]) -> bytes:
    first, last = _span(draw, content)
    word = draw(st.one_of(st.sampled_from(WORDS), st.binary(max_size=8)))
    return content[:first] + word + content[last:]


def _number(draw: st.DrawFn, content: bytes, seeds: list[bytes]) -> bytes:
    found = list(NUMBER.finditer(content))
    if not found:
        return content
    one = draw(st.sampled_from(found))
    return content[: one.start()] + draw(st.sampled_from(WORDS)) + content[one.end() :]


def _join(draw: st.DrawFn, content: bytes, seeds: list[bytes]) -> bytes:
    other = draw(st.sampled_from(seeds))
    return content[: draw(st.integers(0, len(content)))] + other[draw(st.integers(0, len(other))) :]


CHANGES = (_flip, _flip, _cut, _end, _repeat, _overwrite, _number, _join)
