"""Write the config's reference (config/README.md) and schema (config/schema.json), generated from the typed config.

python tools/config_reference.py [--check]     # --check changes nothing; exit code 1 if a file is out of date
"""

import json
import sys
from pathlib import Path
from typing import Any, get_args

from bright_pipeline.config.root import BASES, MODELS, Config
from bright_pipeline.families import AUTOENCODERS, GENERATORS, find_family
from bright_pipeline.settings.dataset import Dataset, Source, Split
from bright_pipeline.settings.diffusion import Diffusion, Samples
from bright_pipeline.settings.evaluation import Evaluation, Figures
from bright_pipeline.settings.fields import NAME, Section
from bright_pipeline.settings.tables import AutoencoderRows, GenerationRows, Tables
from pydantic import BaseModel
from pydantic.fields import FieldInfo

FOLDER = Path(__file__).parents[1] / "config"
INTRODUCTION = Path(__file__).with_name("config_introduction.md")


def members(union: Any) -> tuple[type[BaseModel], ...]:
    """The sections of a union that is discriminated by `kind`."""
    return get_args(get_args(union)[0])


def joined(words: list[str], conjunction: str) -> str:
    """Such as `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {conjunction} {words[-1]}"


def _tables_of(rows: type[BaseModel]) -> str:
    """The tables with this type of rows."""
    return joined([name for name, field in Tables.model_fields.items() if field.annotation is rows], "and")


# Headings and sections in the order of a config. All members of a union follow each other.
SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("", Config),
    ("datasets.NAME", Dataset),
    *(("datasets.NAME.source", source) for source in members(Source)),
    ("datasets.NAME.split", Split),
    *(("autoencoders.NAME", find_family(name).settings) for name in AUTOENCODERS),
    ("diffusions.NAME", Diffusion),
    *(("generators.NAME", find_family(name).settings) for name in GENERATORS),
    *(("samples.NAME", samples) for samples in members(Samples)),
    ("evaluation", Evaluation),
    ("tables", Tables),
    *((f"tables.TABLE, for {_tables_of(rows)}", rows) for rows in (GenerationRows, AutoencoderRows)),
    ("figures", Figures),
)


def _section(path: str, section: type[BaseModel]) -> list[str]:
    """A heading and a table for a section, followed by those of the sections inside it."""
    schema = section.model_json_schema()
    key, comma, rest = path.partition(",")
    title = f"## `{key}`{comma}{rest}" if path else "## The whole config"
    for discriminator in ("kind", "family"):
        if value := schema["properties"].get(discriminator, {}).get("const"):
            title += f", {discriminator} `{value}`"
    rows = ["| key | type | default | |", "|---|---|---|---|"]
    inner: list[str] = []
    for name, field in section.model_fields.items():
        facts, nested = _resolved(schema["properties"][name], schema), field.annotation
        key = f"*`{name}`*" if facts.get("operational") else f"`{name}`"
        description = (field.description or "").replace("|", "\\|")
        default = "**required**" if name in schema.get("required", ()) else _default(field)
        rows.append(f"| {key} | {_type(facts, schema)} | {default} | {description} |")
        if isinstance(nested, type) and issubclass(nested, Section) and nested not in {known for _, known in SECTIONS}:
            inner += _section(f"{path}.{name}".lstrip("."), nested)
    return [title, "", " ".join((section.__doc__ or "").split()), "", *rows, "", *inner]


def _resolved(facts: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A property with the keys of the definition that it refers to."""
    return schema["$defs"][facts["$ref"].rpartition("/")[2]] | facts if "$ref" in facts else facts


def _type(facts: dict[str, Any], schema: dict[str, Any]) -> str:
    """A type in words: `integer from 1 to 4`, `a or b`, `list of numbers`."""
    facts = _resolved(facts, schema)
    if "const" in facts:
        return f"`{facts['const']}`"
    if "enum" in facts:
        return joined([f"`{value}`" for value in facts["enum"]], "or")
    if "anyOf" in facts:
        return joined([_type(part, schema) for part in facts["anyOf"] if part.get("type") != "null"], "or")
    match facts.get("type"):
        case "array":
            parts = facts.get("prefixItems", [])
            inner = _type(parts[0] if parts else facts["items"], schema)
            noun, space, limits = inner.partition(" ")
            several = inner if inner.startswith("`") else f"{noun}s{space}{limits}"
            return f"list of {len(parts)} {several}" if parts else f"list of {several}"
        case "object":
            return "entries by name" if facts.get("additionalProperties") else "section"
        case "string":
            return "path" if facts.get("format") == "path" else "text"
        case "boolean":
            return "true or false"
        case str(name):
            below = f" and below {facts['exclusiveMaximum']:g}" if "exclusiveMaximum" in facts else ""
            if (low := facts.get("minimum")) is not None:
                return f"{name} from {low:g}" + (f" to {facts['maximum']:g}" if "maximum" in facts else below)
            if "exclusiveMinimum" in facts:
                return f"{name} above {facts['exclusiveMinimum']:g}{below}"
            return name
        case _:
            return "section, one of several kinds"


def _default(field: FieldInfo) -> str:
    """A default as written in YAML; empty for a section, which has its own table."""
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is None or isinstance(default, Section):
        return "none" if default is None else ""
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


def stale() -> dict[Path, str]:
    """The generated files that are out of date, and their expected texts."""
    texts = {FOLDER / "README.md": reference(), FOLDER / "schema.json": schema()}
    return {file: text for file, text in texts.items() if not file.exists() or file.read_text(encoding="utf-8") != text}


def reference() -> str:
    """config/README.md."""
    sections = [line for path, section in SECTIONS for line in _section(path, section)]
    return "\n".join([INTRODUCTION.read_text(encoding="utf-8"), *sections])


def schema() -> str:
    """config/schema.json: pydantic's schema of the config, and `like` in the sections that allow it."""
    whole = _without_titles(Config.model_json_schema())
    properties = whole["properties"]
    properties["run"]["pattern"] = NAME
    for facts in properties.values():
        if "additionalProperties" in facts:  # entries by name
            facts["propertyNames"] = {"pattern": NAME}
    for section in MODELS:
        entry = properties[section]["additionalProperties"]
        # With `like`, a sample set may inherit its kind, so that several kinds can match.
        properties[section]["additionalProperties"] = {"anyOf": entry["oneOf"]} if "oneOf" in entry else entry
        for member in entry.get("oneOf", [entry]):
            model = whole["$defs"][member["$ref"].rpartition("/")[2]] if "$ref" in member else member
            like = {"type": "string", "description": "Inherit all keys of the entry with this name."}
            model["properties"] = model["properties"] | {"like": like}
            # With `like` or `snapshot_of`, an entry has no other required key.
            bases = [base for base in BASES if base in model["properties"]]
            model["anyOf"] = [{"required": model.pop("required")}, *({"required": [base]} for base in bases)]
    return json.dumps(whole, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _without_titles(node: Any) -> Any:
    """A schema without pydantic's titles, which repeat the keys."""
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if not (key == "title" and isinstance(value, str))}
        return {key: _without_titles(value) for key, value in kept.items()}
    return [_without_titles(item) for item in node] if isinstance(node, list) else node


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        if names := [f"config/{file.name}" for file in stale()]:
            sys.exit(f"{' and '.join(names)}: out of date; run `python tools/config_reference.py`")
    else:
        for file, text in stale().items():
            file.write_text(text, encoding="utf-8")
            print(f"wrote config/{file.name}")
