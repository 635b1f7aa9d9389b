"""Every config that `bright config` and `bright doctor` accept runs to its end (promise 7).

Each number of config/config.yaml takes other values, alone and in pairs, on eight images and with one training step.
ACCEPTED_CONFIGS is the number of configs that are accepted: first each number alone, then pairs by lot.
"""

import os
from collections import Counter
from collections.abc import Iterator
from functools import reduce
from itertools import chain, islice
from operator import getitem
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from finished_plan import put
from tiny_workflow import REPOSITORY, Workflow

pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("ACCEPTED_CONFIGS", "2"))
EIGHT_IMAGES = yaml.safe_load(Path(__file__).with_name("eight_images.yaml").read_text(encoding="utf-8"))
CHECKS = ("config", "doctor")
Place = tuple[Any, ...]


def small() -> dict[str, Any]:
    values = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8"))
    for key, value in EIGHT_IMAGES.items():
        put(values, key, value)
    return values


def numbers(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """The places of all numbers, and of code sizes, with their values."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from numbers(inner, (*place, key))
    if isinstance(value, int | float) or (place and place[-1] == "code_size"):
        yield place, value


def others(value: Any) -> list[Any]:
    """Other values of a number, or of a code size."""
    if isinstance(value, str):
        return ["8x8x4", "16x16x1", "4x4x8", "8x16x4", "64x64x2", "5x5x2"]
    if isinstance(value, float):
        return [value / 8, value * 8, 0.0, 1.0]
    near = (0, 1, 2, value - 1, value + 1, value // 2, 2 * value, 3 * value)
    return sorted({number for number in near if number != value})


def changed(*changes: tuple[Place, Any]) -> dict[str, Any]:
    values = small()
    for place, value in changes:
        reduce(getitem, place[:-1], values)[place[-1]] = value
    return values


def configs() -> Iterator[dict[Place, Any]]:
    """The changes of each config: one number alone, all in turn by lot, then pairs by lot."""
    lot, found = Random(0), list(numbers(small()))
    alone = [{place: other} for place, value in found for other in others(value)]
    lot.shuffle(alone)

    def pairs() -> Iterator[dict[Place, Any]]:
        while True:
            yield {place: lot.choice(others(value)) for place, value in lot.sample(found, 2)}

    return chain(alone, pairs())


@pytest.fixture
def workflow(tmp_path: Path, networks_folder: Path) -> Workflow:
    """A folder in which all configs run: what two of them share is made once."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "networks").symlink_to(networks_folder.resolve())
    return Workflow(tmp_path)


def test_accepted_configs_run_to_their_end(workflow: Workflow) -> None:
    counts: Counter[str] = Counter()
    failed = []
    for changes in islice(configs(), 20 * COUNT):
        config = yaml.safe_dump(changed(*changes.items()), sort_keys=False)
        (workflow.folder / "config.yaml").write_text(config)
        outcome = next((name for name in CHECKS if workflow.call("bright", name, "config.yaml", expect=None).code), "")
        if not outcome:
            done = workflow.run("--quiet", "all", expect=None)
            outcome = "failed" if done.code else "ran to its end"
            failed += [f"{changes}: {done.text[-2000:]}"] if done.code else []
        counts[outcome] += 1
        print(outcome, changes, flush=True)
        if counts["failed"] + counts["ran to its end"] == COUNT:
            break
    print(counts)
    assert not failed, "\n".join(failed)
    assert counts["ran to its end"] == COUNT
