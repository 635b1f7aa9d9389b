"""The reference of the config's keys and the schema that editors read: each key is there."""

import json
from pathlib import Path

import yaml
from bright_pipeline.settings.fields import Section
from config_reference import SECTIONS, reference, schema
from jsonschema import Draft202012Validator
from pydantic import BaseModel

CONFIG = Path(__file__).parents[1] / "config"


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


def test_every_key_has_a_description_and_is_in_the_reference_operational_ones_in_italics() -> None:
    text = reference()
    for section in sections():
        for name, field in section.model_fields.items():
            assert field.description or name == "kind", f"{section.__name__}.{name}"
            assert f"| `{name}` |" in text or f"| *`{name}`* |" in text
    assert "| *`save_every_s`* | number above 0 | `180.0` |" in text
    assert "| `learning_rate` | number above 0 | `0.002` |" in text


def test_the_configs_fit_the_schema_which_refuses_a_wrong_key_also_beside_like() -> None:
    validator = Draft202012Validator(json.loads(schema()))
    demo, paper = (yaml.safe_load((CONFIG / f"{name}.yaml").read_text(encoding="utf-8")) for name in ("demo", "paper"))
    assert [*validator.iter_errors(demo), *validator.iter_errors(paper)] == []
    assert "like" in demo["autoencoders"]["short"]
    demo["autoencoders"]["short"]["learning_rat"] = 1.0
    # The entry matches no family: only the entry that it inherits from has one.
    errors = [(error.validator, list(error.path)) for error in validator.iter_errors(demo)]
    assert errors == [("anyOf", ["autoencoders", "short"])]
