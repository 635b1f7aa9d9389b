"""The config's reference and schema say what the typed config says."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from pipeline.config.__main__ import stale
from pipeline.config.reference import SECTIONS, generated, reference, schema
from pipeline.settings.fields import Section

CONFIG = Path(__file__).parents[2] / "config"


def read(name: str) -> Any:
    return yaml.safe_load((CONFIG / name).read_text(encoding="utf-8"))


def sections() -> set[type[BaseModel]]:
    """Every section of the config, also those inside others."""
    found: set[type[BaseModel]] = set()
    waiting = [section for _, section in SECTIONS]
    while waiting:
        section = waiting.pop()
        found.add(section)
        parts = [field.annotation for field in section.model_fields.values()]
        waiting += [part for part in parts if isinstance(part, type) and issubclass(part, Section)]
    return found


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.config", *arguments], cwd=CONFIG.parent, capture_output=True, text=True
    )


@pytest.mark.parametrize("path", list(generated()), ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generated()[path], "run `bright config --write`"
    assert stale() == {}


def test_every_key_has_a_description() -> None:
    without = [
        f"{section.__name__}.{name}"
        for section in sections()
        for name, field in section.model_fields.items()
        if not field.description and name != "kind"
    ]
    assert without == []


def test_the_reference_has_every_key_and_operational_ones_in_italics() -> None:
    text = reference()
    for section in sections():
        for name in section.model_fields:
            assert f"| `{name}` |" in text or f"| *`{name}`* |" in text
    assert "| *`save_every_s`* | number above 0 | `180.0` |" in text
    assert "| `learning_rate` | number above 0 | `0.002` |" in text


@pytest.mark.parametrize("name", ["demo.yaml", "paper.yaml"])
def test_the_configs_fit_the_schema(name: str) -> None:
    assert list(Draft202012Validator(json.loads(schema())).iter_errors(read(name))) == []


def test_the_schema_refuses_a_wrong_key_also_beside_like() -> None:
    values = read("demo.yaml")
    assert "like" in values["autoencoders"]["short"]
    values["autoencoders"]["short"]["learning_rat"] = 1.0
    errors = list(Draft202012Validator(json.loads(schema())).iter_errors(values))
    # The entry matches no family: only the entry that it inherits from has one.
    assert [(error.validator, list(error.path)) for error in errors] == [("anyOf", ["autoencoders", "short"])]


def test_the_command_answers_in_one_line(tmp_path: Path) -> None:
    result = command("config/demo.yaml")
    assert result.returncode == 0
    assert result.stdout.startswith("config/demo.yaml: OK, run demo: ")
    assert result.stdout.count("\n") == 1
    values = read("demo.yaml")
    values["autoencoders"]["main"]["featur_size"] = 16
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(values))
    result = command(str(wrong))
    assert result.returncode == 2
    assert "autoencoders.main.featur_size" in result.stderr
    assert result.stderr.count("\n") == 1
