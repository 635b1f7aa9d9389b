"""A reader accepts any content or refuses it in one line, quickly.

All readers together take some seconds here, ten minutes in `make fuzz` (FUZZ_SECONDS, FUZZ_SEED). Contents that once
failed are in found/, under the reader's name, and are tried first.
"""

import os
import random
import re
import time
from pathlib import Path

import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.decode import BadImage
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from targets import TARGETS, Target

SECONDS = float(os.environ.get("FUZZ_SECONDS", "5")) / len(TARGETS)
SEED = int(os.environ.get("FUZZ_SEED", str(random.SystemRandom().randrange(10**6))))
AT_A_TIME = 50
SOON_S = 5.0
FOUND = Path(__file__).with_name("found")

WORDS = [b"", b"\0", b"\xff" * 8, b"null", b"NaN", b"1e999", b"-1", b"9" * 400, b"[" * 50, b"{}", b'""', b"../.."]
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of these contents after one to six changes: bits, numbers, cuts, repetitions, foreign words and ends."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 6))):
        first = draw(st.integers(0, len(content)))
        last = draw(st.integers(first, min(len(content), first + 64)))
        if (numbers := list(NUMBER.finditer(content))) and draw(st.booleans()):
            first, last = draw(st.sampled_from(numbers)).span()
        old, rest, other = content[first:last], content[last:], draw(st.sampled_from(seeds))
        word = draw(st.one_of(st.sampled_from(WORDS), st.binary(max_size=8)))
        flipped = bytes([old[0] ^ 1 << draw(st.integers(0, 7))]) + old[1:] if old else word
        ends = [flipped + rest, word + rest, rest, 3 * old + rest, b"", other[draw(st.integers(0, len(other))) :]]
        content = content[:first] + draw(st.sampled_from(ends))
    return content


def check(target: Target, path: Path, content: bytes) -> None:
    """The reader accepts this content or refuses it in one line."""
    path.write_bytes(content)
    started = time.process_time()  # CPU time: the machine has other work
    try:
        target.read(path)
    except (InputError, BadImage) as error:
        assert "\n" not in str(error).strip(), "more than a line"
        assert len(str(error)) < 2000, "a long line"
    assert time.process_time() - started < SOON_S, "not soon"


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_any_content_is_taken_or_refused_in_one_line(target: Target, tmp_path: Path) -> None:
    end = time.monotonic() + SECONDS
    path = tmp_path / target.name
    (tmp_path / "table.csv").write_bytes(b"abc")
    seeds = target.contents(tmp_path)
    for content in (*seeds, *(one.read_bytes() for one in sorted(FOUND.glob(f"{target.name}.*")))):
        check(target, path, content)

    quiet = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
    few = settings(max_examples=AT_A_TIME, phases=[Phase.generate, Phase.shrink], **quiet)
    number = 0
    while number == 0 or time.monotonic() < end:
        seed(SEED + number)(few(given(mutated(seeds))(lambda content: check(target, path, content))))()
        number += 1
    print(f"{target.name}: {number * AT_A_TIME} contents, seeds from {SEED}")
