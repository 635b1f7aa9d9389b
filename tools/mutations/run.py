"""Mutation tests of the numerical code: which tests catch small mistakes (`make mutations`).

A seed draws places where the numerical code can be mutated, from each part, kinds in turn. Each mutation is made in a
copy of the checkout. The fast tests run until one fails, the module's own first; survivors meet the slow tests that
train and run whole workflows. A mutation that no test can notice is listed with its reason in equivalent.yaml, and
another one is drawn instead.

Outcomes are stored (--outcomes): a second call runs new mutations, and survivors again. The report is Markdown.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from reach import Distances, distances, near_and_far
from sites import Mutation, mutations

sys.path.append(str(Path(__file__).parents[1]))

from forkserver import commands

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
SLOW_TESTS = (
    "tests/reference/*.py",
    "tests/training/test_resume.py",
    "tests/workflow/test_whole_run.py",
    "tests/workflow/test_more_models.py",
)
SECONDS_A_TEST = 300  # more than any takes
SECONDS_IN_ALL = 3600
OPTIONS = [
    *("-x", "-q", "-rfE", "--tb=short", "--no-header", "-p", "no:cacheprovider", "--hypothesis-seed=0"),
    *("-o", f"faulthandler_timeout={SECONDS_A_TEST}", "-o", "faulthandler_exit_on_timeout=true"),
]


def candidates(root: Path, pattern: str) -> list[Mutation]:
    """Every mutation of a part."""
    return [
        found
        for path in sorted((root / "pipeline" / "bright_pipeline").glob(pattern))
        for found in mutations(path, root)
    ]


def drawn(root: Path, seed: int, count: int) -> Iterator[tuple[str, Mutation]]:
    """`count` mutations with their parts: the parts in turn, within each the kinds in turn, each by lot.

    The lot is a hash of seed and name, so a change elsewhere in the code moves no lot.
    """
    equivalent = yaml.safe_load(EQUIVALENT.read_text()) or {}
    turns = []
    for number, (part, pattern) in enumerate(PARTS.items()):
        found = [one for one in candidates(root, pattern) if one.name not in equivalent]
        found.sort(key=lambda one: hashlib.sha256(f"{seed} {one.name}".encode()).digest())
        kinds: Counter[str] = Counter()
        rounds = []
        for one in found:
            rounds.append((kinds[one.kind], one))
            kinds[one.kind] += 1
        rounds.sort(key=lambda entry: entry[0])
        turns += [(turn, number, part, one) for turn, (_, one) in enumerate(rounds)]
    for _, _, part, one in sorted(turns, key=lambda entry: entry[:2])[:count]:
        yield part, one


def copied(root: Path, folder: Path) -> None:
    """Copy the checkout with uncommitted files, without ignored ones."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True)
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name)


def pytest_in(folder: Path, arguments: list[str]) -> str | None:
    """Run the tests of the checkout in `folder` until one fails, with loaded libraries; returns its name, or None."""
    output = folder.parent / "output"
    command = [str(commands() / "python"), "-m", "pytest", *OPTIONS, *arguments]
    environment = os.environ | {"PYTHONPATH": str(folder / "pipeline")}
    with output.open("wb") as stream:
        try:
            streams = {"stdout": stream, "stderr": subprocess.STDOUT}
            code = subprocess.run(command, cwd=folder, env=environment, timeout=SECONDS_IN_ALL, **streams).returncode
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
    text = output.read_text(errors="replace")
    if code in (0, 5):  # 5: no test was selected
        return None
    found = re.search(r"^(?:FAILED|ERROR) (\S.*)$", text, re.MULTILINE)
    if found is None and "Timeout" in text:
        return f"time limit of {SECONDS_A_TEST} s for a test"
    return found[1] if found else f"exit code {code}: {text[-200:]!r}"


def outcome(mutation: Mutation, part: str, folder: Path, reached: Distances, until: str) -> dict[str, Any]:
    """Make the mutation in the copy, run the tests, undo it; the test that failed must then pass.

    Returns the test that caught it, and the step in which that ran.
    """
    path = folder / mutation.path
    source = path.read_bytes()
    started = time.monotonic()
    near, others = near_and_far(reached, ROOT / mutation.path)
    slow = [*near, *(found for pattern in SLOW_TESTS for found in sorted(ROOT.glob(pattern)) if found not in near)]
    runs = {"near": (FAST, near), "fast": (FAST, others), "slow": (SLOW, slow)}
    caught, how = None, "survived"
    try:
        path.write_bytes(mutation.applied(source))
        for step in list(STEPS)[: list(STEPS).index(until) + 1]:
            marker, files = runs[step]
            names = [str(file.relative_to(ROOT)) for file in files]
            if names and (caught := pytest_in(folder, ["-m", marker, *names])):
                how = STEPS[step]
                break
            shutil.rmtree(folder / ".hypothesis", ignore_errors=True)
    finally:
        path.write_bytes(source)
    test = (caught or "").partition(" - ")[0]
    if "::" in test and pytest_in(folder, [test]):
        sys.exit(f"fails without a mutation, too: {test}\n{(folder.parent / 'output').read_text()[-2000:]}")
    seconds = round(time.monotonic() - started, 1)
    found = {"name": mutation.name, "line": mutation.line, "kind": mutation.kind, "part": part}
    return found | {"caught_by": caught or "", "how": how, "seconds": seconds}


def report(outcomes: list[dict[str, Any]]) -> str:
    """A table of all outcomes, and the counts."""
    near, fast, slow = (sum(one["how"] == how for one in outcomes) for how in STEPS.values())
    lines = [f"{len(outcomes)} mutations: {near + fast} caught by `make check`, {slow} more by slow tests."]
    lines += ["", "| part | line | mutation | caught by |", "|---|---|---|---|"]
    for one in outcomes:
        path, _, change = one["name"].partition(" ")
        caught = f"{one['how']}: {one['caught_by'].partition(' - ')[0]}" if one["caught_by"] else "**nothing**"
        cells = (one["part"], f"{path}:{one['line']}", f"`{change}`", caught)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--outcomes", type=Path, default=ROOT / "results" / "work" / "mutations" / "outcomes.jsonl")
    parser.add_argument("--until", choices=STEPS, default="slow", help="the last tests that a survivor meets")
    parser.add_argument("--list", action="store_true", help="print the drawn mutations and run nothing")
    arguments = parser.parse_args()
    chosen = list(drawn(ROOT, arguments.seed, arguments.count))
    if arguments.list:
        for part, mutation in chosen:
            print(f"{part}: {mutation.name} (line {mutation.line}, {mutation.kind})")
        return
    stored = {}
    if arguments.outcomes.is_file():
        stored = {one["name"]: one for one in map(json.loads, arguments.outcomes.read_text().splitlines())}
    arguments.outcomes.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("BRIGHT_NETWORKS", str(ROOT / "results" / "networks"))
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as where tests run in several processes
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when the fork server imports Triton
    os.nice(10)
    found = []
    with tempfile.TemporaryDirectory(prefix="mutations-") as place:
        folder = Path(place) / "checkout"
        copied(ROOT, folder)
        reached = distances(ROOT)
        for part, mutation in chosen:
            known = stored.get(mutation.name)
            if known is None or known["how"] == "survived":
                known = outcome(mutation, part, folder, reached, arguments.until)
                with arguments.outcomes.open("a") as file:
                    file.write(json.dumps(known) + "\n")
                print(f"{known['how']}, {known['seconds']} s: {mutation.name}: {known['caught_by']}", flush=True)
            found.append(known)
    print("\n" + report(found))


if __name__ == "__main__":
    main()
