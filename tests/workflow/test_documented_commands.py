"""Each command of README.md and docs/ works: `documented_commands.yaml` lists the facts that hold after it.

Every command needs an entry there, or a reason why it is not typed. Each entry's facts must fail where the command
does nothing. `documented_facts.py` has the facts that need more than a line.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import documented_facts
import pytest
import tiny_workflow
import yaml
from documented import ROOT, blocks, pages_of_commands
from PIL import Image
from places import Place, Places
from tiny_workflow import Run

TABLE = yaml.safe_load(Path(__file__).with_name("documented_commands.yaml").read_text(encoding="utf-8"))
NOT_TYPED, ELSEWHERE = TABLE["not typed"], TABLE["elsewhere"]
COMMANDS = pages_of_commands()
KEYS = {"type", "in", "look", "as", "before", "prepare", "exit"}
FACTS = {"prints", "words", "jobs", "plans", "next", "keeps", "then", "check", "files"}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


CASES = [(line, entry) for entry in TABLE["typed"] for line in listed(entry["type"])]


@pytest.mark.parametrize(("line", "entry"), CASES, ids=[line for line, _ in CASES])
def test_a_command_has_its_facts(places: Places, line: str, entry: dict[str, Any]) -> None:
    for old, new in entry.get("as", {}).items():
        line = line.replace(old, new)
    place = places.shared(entry["look"]) if "look" in entry else places.copy(entry["in"])
    before = {path: content for pattern in entry.get("keeps", []) for path, content in place.files(pattern).items()}
    if "prepare" in entry:
        getattr(documented_facts, entry["prepare"])(place, places)
    if "before" in entry:
        place.type(entry["before"])
    with pytest.raises((AssertionError, LookupError, OSError, ValueError)):
        check(entry, line, Run(""), place, places, before)
    if "look" in entry:
        run = places.look(entry["look"], line, entry.get("exit", 0))
    else:
        run = place.type(line, entry.get("exit", 0))
    check(entry, line, run, place, places, before)


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_of_a_page_runs_after_the_demo(places: Places, page: str) -> None:
    place = places.copy("finished")
    Image.new("L", (32, 32)).save(place.folder / "shirt.png")
    lines = "\n".join(blocks((ROOT / page).read_text(encoding="utf-8"), "python"))
    place.call("python3", "-c", f"{lines}\nassert len(images) == len(codes)")


def check(entry: dict[str, Any], line: str, run: Run, place: Place, places: Places, before: dict[str, bytes]) -> None:
    """Whether the facts of an entry hold, after its command printed and did what it did."""
    for pattern in entry.get("prints", []):
        assert re.search(pattern, run.text, re.MULTILINE), f"not printed: {pattern}\n{run.text}"
    printed = " ".join(run.text.lower().split())
    assert [words for words in entry.get("words", []) if words.lower() not in printed] == [], run.text
    if "jobs" in entry:
        assert_jobs(run, entry["jobs"])
    for stage, count in entry.get("plans", {}).items():
        assert run.text and run.jobs.get(stage, 0) == count
    if "next" in entry:
        assert_jobs(place.type("snakemake --cores 2"), entry["next"])
    if "keeps" in entry:
        assert before
        assert [path for path, content in before.items() if (place.folder / path).read_bytes() != content] == []
    if "then" in entry:
        place.type(entry["then"])
    if "check" in entry:
        getattr(documented_facts, entry["check"])(run, place, places, line)
    for path, words in entry.get("files", {}).items():
        assert words in (ROOT / path).read_text(encoding="utf-8")


def assert_jobs(run: Run, expected: dict[str, int] | str) -> None:
    """Whether a run had exactly these jobs; a word names a table of tiny_workflow."""
    expected = getattr(tiny_workflow, expected) if isinstance(expected, str) else expected
    assert run.jobs == expected
    assert expected or run.nothing_to_do


def test_every_command_of_the_pages_is_in_the_table_once() -> None:
    assert all(entry.keys() <= KEYS | FACTS and entry.keys() & FACTS for entry in TABLE["typed"])
    typed, others = {line for line, _ in CASES}, []
    for pattern in NOT_TYPED | ELSEWHERE:
        matching = [line for line in COMMANDS if re.match(pattern, line)]
        assert matching, f"no page has {pattern}"
        others += matching
    assert sorted(COMMANDS.keys() - typed - set(others)) == [], "no entry says what these do"
    assert sorted(typed - COMMANDS.keys()) == [], "in no page"
    assert sorted(typed & set(others)) == []
    assert len(others) == len(set(others))
    for file, shown in ELSEWHERE.values():
        assert shown in (ROOT / file).read_text(encoding="utf-8")


def test_extras_that_are_installed_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    lists = [found for line in COMMANDS for found in re.findall(r"(?:\[|EXTRAS=)([\w,-]+)", line)]
    named = {name for found in lists for name in found.split(",")}
    assert named and named <= extras.keys()
