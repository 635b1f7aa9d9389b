"""Mutations of the numerical code: which tests catch them (`make mutations`).

From every place where the numerical code can be mutated, a seed draws some for each part, kinds in turn. Each is made
in a copy of the checkout; the fast tests run there, the module's own first, until one fails. What survives them all
meets the slow tests that train and run whole workflows. Linters are not asked. A mutation that changes nothing anybody
could see stands with its reason in equivalent.yaml, and the next one is drawn in its place.

Outcomes are kept (--outcomes): a second call runs what is new, and again what survived. The report is Markdown.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from forked import load_libraries, pytest_in
from reach import Reach
from sites import Mutation, mutations

ROOT = Path(__file__).parents[2]
PARTS = {
    "models": "models/**/*.py",
    "training": "training/*.py",
    "generation": "generation/*.py",
    "evaluation": "evaluation/*.py",
    "tables": "tables/*.py",
    "stages' contracts": "stages/*.py",
    "stages' commands": "*.py",
    "data": "data/*.py",
}
EQUIVALENT = Path(__file__).parent / "equivalent.yaml"
FAST, SLOW = "not slow and not demo", "slow and not demo"
STEPS = {"near": "the nearest fast tests", "fast": "the other fast tests", "slow": "slow tests"}
SLOW_TESTS = ("tests/slow/*.py", "tests/workflow/test_whole_run.py", "tests/workflow/test_more_models.py")


@dataclass(frozen=True)
class Outcome:
    """What became of a mutation: the test that caught it, and in which run of tests."""

    name: str
    line: int
    kind: str
    part: str
    caught_by: str
    how: str
    seconds: float


def candidates(root: Path, pattern: str) -> list[Mutation]:
    """Every mutation of a part."""
    return [found for path in sorted((root / "pipeline").glob(pattern)) for found in mutations(path, root)]


def drawn(root: Path, seed: int, count: int) -> Iterator[tuple[str, Mutation]]:
    """`count` mutations with their parts: the parts in turn, within each the kinds in turn, each by lot.

    The lot is a hash of seed and name: code elsewhere moves no lot.
    """
    equivalent = yaml.safe_load(EQUIVALENT.read_text()) or {}
    turns = []
    for part, pattern in PARTS.items():
        by_lot = sorted(
            candidates(root, pattern), key=lambda one: hashlib.sha256(f"{seed} {one.name}".encode()).digest()
        )
        kinds: dict[str, int] = {}
        rounds = []
        for place, one in enumerate(one for one in by_lot if one.name not in equivalent):
            rounds.append((kinds.setdefault(one.kind, 0), place, one))
            kinds[one.kind] += 1
        turns += [(turn, part, one) for turn, (_, _, one) in enumerate(sorted(rounds, key=lambda entry: entry[:2]))]
    for _, part, one in sorted(turns, key=lambda entry: (entry[0], list(PARTS).index(entry[1])))[:count]:
        yield part, one


def copied(root: Path, folder: Path) -> None:
    """The checkout as it is, with what is not committed and without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    )
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name)


def outcome(mutation: Mutation, part: str, folder: Path, reach: Reach, until: str) -> Outcome:
    """Make the mutation in the copy, run the tests, undo it; the test that failed must pass then."""
    path = folder / mutation.path
    source = path.read_bytes()
    started = time.monotonic()
    near, others = reach.nearest(ROOT / mutation.path), reach.others(ROOT / mutation.path)
    slow = [*near, *(found for pattern in SLOW_TESTS for found in sorted(ROOT.glob(pattern)) if found not in near)]
    runs = {"near": (FAST, near), "fast": (FAST, others), "slow": (SLOW, slow)}
    caught, how = None, ""
    try:
        path.write_bytes(mutation.applied(source))
        for step in list(STEPS)[: list(STEPS).index(until) + 1]:
            marker, files = runs[step]
            how = STEPS[step]
            names = [str(file.relative_to(ROOT)) for file in files]
            if names and (caught := pytest_in(folder, ["-m", marker, *names], folder.parent / "output")):
                break
            shutil.rmtree(folder / ".hypothesis", ignore_errors=True)
    finally:
        path.write_bytes(source)
    test = (caught or "").partition(" - ")[0]
    if "::" in test and pytest_in(folder, [test], folder.parent / "output"):
        sys.exit(f"without any mutation, too: {test}\n{(folder.parent / 'output').read_text()[-2000:]}")
    seconds = round(time.monotonic() - started, 1)
    return Outcome(
        mutation.name, mutation.line, mutation.kind, part, caught or "", how if caught else "survived", seconds
    )


def report(outcomes: list[Outcome]) -> str:
    """A table of all, and the counts."""
    near, fast, slow = (sum(one.how == how for one in outcomes) for how in STEPS.values())
    lines = [f"{len(outcomes)} mutations: {near + fast} caught by `make check`, {slow} more by slow tests."]
    lines += ["", "| part | line | mutation | caught by |", "|---|---|---|---|"]
    for one in outcomes:
        path, _, change = one.name.partition(" ")
        caught = f"{one.how}: {one.caught_by.partition(' - ')[0]}" if one.caught_by else "**nothing**"
        cells = (one.part, f"{path}:{one.line}", f"`{change}`", caught)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--outcomes", type=Path, default=ROOT / "results" / "work" / "mutations" / "outcomes.jsonl")
    parser.add_argument("--until", choices=STEPS, default="slow", help="the tests that a survivor meets in the end")
    parser.add_argument("--list", action="store_true", help="print what is drawn, and run nothing")
    arguments = parser.parse_args()
    chosen = list(drawn(ROOT, arguments.seed, arguments.count))
    if arguments.list:
        for part, mutation in chosen:
            print(f"{part}: {mutation.name} (line {mutation.line}, {mutation.kind})")
        return
    kept = {}
    if arguments.outcomes.is_file():
        kept = {one["name"]: Outcome(**one) for one in map(json.loads, arguments.outcomes.read_text().splitlines())}
    arguments.outcomes.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("BRIGHT_NETWORKS", str(ROOT / "results" / "networks"))
    os.nice(10)
    load_libraries()
    found = []
    with tempfile.TemporaryDirectory(prefix="mutations-") as place:
        folder = Path(place) / "checkout"
        copied(ROOT, folder)
        reach = Reach(ROOT)
        for part, mutation in chosen:
            known = kept.get(mutation.name)
            if known is None or known.how == "survived":
                known = outcome(mutation, part, folder, reach, arguments.until)
                with arguments.outcomes.open("a") as file:
                    file.write(json.dumps(asdict(known)) + "\n")
                print(f"{known.how}, {known.seconds} s: {mutation.name}: {known.caught_by}", flush=True)
            found.append(known)
    print("\n" + report(found))


if __name__ == "__main__":
    main()
