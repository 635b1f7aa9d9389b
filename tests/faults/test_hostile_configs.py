"""Malicious and wrong configs are refused in one line, or accepted with their plain meaning."""

import copy
import signal
from collections.abc import Callable, Iterator
from functools import reduce
from itertools import cycle
from operator import getitem
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import pytest
import yaml
from bright_pipeline.base.errors import InputError
from bright_pipeline.commands.config import config
from bright_pipeline.config.root import FOLDERS, MODELS, Config, load_config, read_config
from bright_pipeline.data.fingerprint import Fingerprints
from bright_pipeline.engine.jobs import planned
from bright_pipeline.stages.common import Jobs

LONGEST_S = 60  # each takes a hundredth of a second, unless it hangs
REPOSITORY = Path(__file__).parents[2]
TINY, FAMILIES = (
    yaml.safe_load((REPOSITORY / "tests" / "workflow" / name).read_text()) for name in ("tiny.yaml", "families.yaml")
)
EVERY: dict[str, Any] = TINY | {section: TINY.get(section, {}) | FAMILIES[section] for section in FAMILIES}

NAMES = {
    "stays inside": [
        "..", ".", "../../../x", "/tmp/x", "a/b", "a\\b", "C:x", "~", "~root", "a/../..", "..\\x", "%2e%2e", ".hidden",
    ],
    "is no option or pattern": ["-rf", "--yes", "*", "?", "[a]", "{x}", "{digest}", "a=b", "@file", "$HOME", "`id`"],
    "is one word": ["", " ", "a b", "a\nb", "a\tb", "a\0b", "a;b", "a|b", "a&b", "a'b", 'a"b', "\u202ea", "é"],
    "fits a file system": ["a" * 101, "a" * 250, "a" * 100_000, "a.", ".a", "a-", "_a"],
}  # fmt: skip
SECTIONS = ("datasets", *MODELS)


def stop(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {LONGEST_S} s")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reading and planning a config writes no file, whatever it says."""
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    before = set(tmp_path.rglob("*"))
    yield
    written = set(tmp_path.rglob("*")) - before - {tmp_path / "config.yaml"}
    assert not written


def refusal(read: Callable[[], Config]) -> str | None:
    """The line that refuses a config, or None where it can be planned."""
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_S)
    try:
        Jobs(read(), fingerprints=Fingerprints())(planned)
    except InputError as error:
        message = str(error)
        assert message.startswith(("config", "../config.yaml")), message
        assert len(message.splitlines()) == 1 and message.isprintable() and len(message) < 2000, message
        return message
    finally:
        signal.alarm(0)
    return None


def refusal_of(values: dict[str, Any]) -> str | None:
    return refusal(lambda: load_config(copy.deepcopy(values)))


def renamed(section: str, name: str) -> dict[str, Any]:
    values = copy.deepcopy(EVERY)
    if section == "run":
        return values | {"run": name}
    first, entry = next(iter(values[section].items()))
    values[section][name] = {"like": first} if section in MODELS else entry
    return values


@pytest.mark.parametrize("section", ["run", *SECTIONS])
@pytest.mark.parametrize("rule", NAMES)
def test_a_name_is_one_plain_word(rule: str, section: str) -> None:
    for name in NAMES[rule]:
        message = refusal_of(renamed(section, name))
        assert message is not None, f"{section} {name!r} was accepted"
        assert message.startswith(f"config: {section}") and "a name consists of letters and digits" in message


def test_a_run_cannot_have_the_name_of_a_folder_of_results() -> None:
    for folder in (*FOLDERS, "Store", "WORK"):
        message = refusal_of(renamed("run", folder))
        assert message == f"config: run: results/{folder} is reserved; choose another name"


@pytest.mark.parametrize("section", SECTIONS)
def test_an_honest_name_is_accepted_unless_another_one_differs_only_in_case(section: str) -> None:
    for name in ("a", "A1", "64x64x4", "ffhq-256.v2_b", "a" * 100):
        assert refusal_of(renamed(section, name)) is None
    first = next(iter(EVERY[section]))
    message = refusal_of(renamed(section, first.upper()))
    assert message == f"config: {section}: the names {first} and {first.upper()} differ only in case"


def leaves(values: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values."""
    parts = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in parts:
        yield (*place, key)
        yield from leaves(value, (*place, key))


def put(place: tuple[Any, ...], new: Any) -> dict[str, Any]:
    """The config with all defaults and one other value."""
    changed = values = copy.deepcopy(FULL)
    for key in place[:-1]:
        values = values[key]
    values[place[-1]] = new
    return changed


FULL = load_config(copy.deepcopy(EVERY)).model_dump(mode="json")
HUGE = 10**400
ANYTHING: list[Any] = [
    None, True, -1, 0, 0.5, 10**9, HUGE, -HUGE, float("inf"), float("nan"), "", "1e999", "x" * 100_000, "../../x",
    "a\0b", "a\nb", [], [[[[]]]], {}, {"like": []}, {"": {"": {}}}, ["x"] * 1000, "{x}", {"a": "\ud800"},
]  # fmt: skip


def test_a_number_is_finite_and_of_a_usual_length() -> None:
    numbers = [place for place in leaves(FULL) if type(reduce(getitem, place, FULL)) in (int, float)]
    for place, new in zip(numbers, cycle((float("inf"), -float("inf"), float("nan"), HUGE, -HUGE)), strict=False):
        with pytest.raises(InputError) as caught:
            load_config(put(place, new))
        assert str(caught.value).startswith(f"config: {place[0]}") and len(str(caught.value)) < 500


@pytest.mark.parametrize("part", range(10))
def test_any_value_in_any_place_is_accepted_or_refused_in_one_line(part: int) -> None:
    """Five hundred, drawn by a seed."""
    pairs = [(place, number) for place in leaves(FULL) for number in range(len(ANYTHING))]
    refused = 0
    for place, number in Random(part).sample(pairs, 50):
        refused += refusal_of(put(place, ANYTHING[number])) is not None
    assert refused > 20


BOMB = "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9 if level else ['x'] * 9)}]\n" for level in range(12)
)
TEXT = yaml.safe_dump(EVERY)
FILES: dict[str, tuple[bytes, str]] = {
    "a key twice": (f"{TEXT}\nrun: other\n".encode(), "the key 'run' appears twice"),
    "a key twice, deep inside": (b"datasets: {x: {resolution: 8, resolution: 16}}", "'resolution' appears twice"),
    "aliases of aliases": (f"{BOMB}{TEXT}".encode(), "expands to more than 100000 values"),
    "an alias of itself": (b"run: &a [*a]", "an alias inside its own value"),
    "nested lists": (b"run: " + b"[" * 100_000, "nested too deeply"),
    "nested closed lists": (b"run: " + b"[" * 60 + b"]" * 60, "nested more than 40 deep"),
    "another encoding": ("run: é".encode("latin-1"), "unacceptable character"),
    "bytes": (bytes(range(256)), "not a readable YAML file"),
    "a NUL": (b"run: a\0b", "special characters are not allowed"),
    "an object": (b"run: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
    "a long number": (b"seed: " + b"9" * 100_000, "not a readable YAML file"),
    "no such day": (b"run: 2020-02-31", "day is out of range"),
    "two documents": (b"run: a\n---\nrun: b", "expected a single document"),
    "a list": (b"- a", "a config is a mapping"),
    "nothing": (b"", "a config is a mapping"),
    "a tab": (b"run:\n\t- a", "not a readable YAML file"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_no_config_is_refused_in_one_line_with_its_path(tmp_path: Path, what: str) -> None:
    content, reason = FILES[what]
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    message = refusal(lambda: read_config(Path("../config.yaml")))
    assert message is not None and message.startswith("../config.yaml: ") and reason in message


def test_a_chain_of_entries_that_are_like_each_other_ends() -> None:
    values = copy.deepcopy(EVERY)
    values["samples"] |= {f"s{number}": {"like": f"s{number + 1}"} for number in range(3000)}
    values["samples"]["s3000"] = {"like": "main"}
    assert "a chain of more than 100 entries" in (refusal_of(values) or "")


@pytest.mark.parametrize("base", [[], {}, None, 3, "nothing", "self", ["main"]])
def test_an_entry_is_like_another_entry(base: Any) -> None:
    values = copy.deepcopy(EVERY)
    values["samples"]["self"] = {"like": base}
    assert (refusal_of(values) or "").startswith(
        "config: samples.self.like: must be the name of another entry of `samples`, not "
    )


SMALL = (REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8").replace("/path/to/images", "photos")
MISTAKES = yaml.safe_load(Path(__file__).with_name("first_mistakes.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("old", "new", "line"), MISTAKES)
def test_a_mistake_of_a_first_config_is_one_line_that_says_what_would_be_right(old, new, line, capsys) -> None:
    assert SMALL.count(old) == 1
    Path("../config.yaml").write_text(SMALL.replace(old, new))
    with pytest.raises(InputError) as error:
        config(Path("../config.yaml"))
    text = str(error.value)
    assert text.startswith(f"../config.yaml: {line}") and len(text.splitlines()) == 1
    assert capsys.readouterr().out == ""


def test_a_missing_input_is_a_note_and_a_missing_config_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    Path("../config.yaml").write_text(SMALL)
    config(Path("../config.yaml"))
    counts = "1 dataset, 1 autoencoder, 1 diffusion, 2 sample sets"
    note = "note: datasets.mine.source.path: photos does not exist; a folder of images is expected"
    assert capsys.readouterr().out == f"../config.yaml: OK, run mine: {counts}\n{note}\n"
    with pytest.raises(InputError, match=r"^mine\.yaml: does not exist$"):
        config(Path("mine.yaml"))
