"""Whatever bytes a file has, its reader takes it or refuses it in one line, soon.

Half a minute for all readers here; `make fuzz` gives all of them ten minutes (FUZZ_SECONDS, FUZZ_SEED). What was found
is kept in found/, under the reader's name, and tried first for ever.
"""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from mutated import mutated
from targets import TARGETS, Target

from pipeline.base.errors import InputError
from pipeline.data.decode import BadImage

SECONDS = float(os.environ.get("FUZZ_SECONDS", "30")) / len(TARGETS)
SEED = int(os.environ.get("FUZZ_SEED", str(random.SystemRandom().randrange(10**6))))
AT_A_TIME = 100
SOON_S = 5.0
FOUND = Path(__file__).with_name("found")


def check(target: Target, path: Path, content: bytes) -> None:
    """The reader takes this content, or refuses it in one line."""
    path.write_bytes(content)
    started = time.process_time()  # on a machine that others use, too
    try:
        target.read(path)
    except (InputError, BadImage) as error:
        assert "\n" not in str(error).strip(), "more than a line"
        assert len(str(error)) < 2000, "a long line"
    assert time.process_time() - started < SOON_S, "not soon"


def until(end: float, attempt: Callable[[int], None]) -> int:
    """Attempt it with one seed after another; returns how often."""
    number = 0
    while number == 0 or time.monotonic() < end:
        attempt(SEED + number)
        number += 1
    return number


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_any_content_is_taken_or_refused_in_one_line(target: Target, tmp_path: Path) -> None:
    end = time.monotonic() + SECONDS
    path = tmp_path / target.name
    (tmp_path / "table.csv").write_bytes(b"abc")
    seeds = target.seeds(tmp_path)
    for content in (*seeds, *(one.read_bytes() for one in sorted(FOUND.glob(f"{target.name}.*")))):
        check(target, path, content)

    def one(content: bytes) -> None:
        check(target, path, content)

    quiet = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
    few = settings(max_examples=AT_A_TIME, phases=[Phase.generate, Phase.shrink], **quiet)
    tried = until(end, lambda number: seed(number)(few(given(mutated(seeds))(one)))()) * AT_A_TIME
    print(f"{target.name}: {tried} contents, seeds from {SEED}")
