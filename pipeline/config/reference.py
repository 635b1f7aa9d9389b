"""The config's reference (config/README.md) and schema (config/schema.json), both made from the typed config."""

import json
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.base.paths import CONFIG
from pipeline.config.root import BASES, MODELS, Config
from pipeline.families import AUTOENCODERS, GENERATORS, find_family
from pipeline.settings.dataset import Dataset, Source, Split
from pipeline.settings.diffusion import Diffusion, Samples
from pipeline.settings.evaluation import AutoencoderRows, Evaluation, Figures, GenerationRows, Tables
from pipeline.settings.fields import NAME, Section

INTRODUCTION = Path(__file__).with_name("introduction.md")


def kinds(union: Any) -> tuple[type[BaseModel], ...]:
    """The sections that a key takes, told apart by their `kind`."""
    return get_args(get_args(union)[0])


def tables_with(rows: type[BaseModel]) -> list[str]:
    """The tables whose rows are told so."""
    return [name for name, field in Tables.model_fields.items() if field.annotation is rows]


def listed(names: list[str]) -> str:
    """Such as `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]])


# Section by section, in the order in which a config is written. Several kinds of one key stand one after another.
SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("", Config),
    ("datasets.NAME", Dataset),
    *(("datasets.NAME.source", kind) for kind in kinds(Source)),
    ("datasets.NAME.split", Split),
    *(("autoencoders.NAME", find_family(name).settings) for name in AUTOENCODERS),
    ("diffusions.NAME", Diffusion),
    *(("generators.NAME", find_family(name).settings) for name in GENERATORS),
    *(("samples.NAME", kind) for kind in kinds(Samples)),
    ("evaluation", Evaluation),
    ("tables", Tables),
    *((f"tables.TABLE, for {listed(tables_with(rows))}", rows) for rows in (GenerationRows, AutoencoderRows)),
    ("figures", Figures),
)


def reference() -> str:
    """config/README.md."""
    parts = [INTRODUCTION.read_text(encoding="utf-8")]
    for path, section in SECTIONS:
        parts += _section(path, section)
    return "\n".join(parts)


def _section(path: str, section: type[BaseModel]) -> list[str]:
    """A heading and a table for a section, then the same for the sections inside it."""
    schema = section.model_json_schema()
    kind = schema["properties"].get("kind", {}).get("const")
    family = schema["properties"].get("family", {}).get("const")
    heading = f"`{path.partition(',')[0]}`{path[len(path.partition(',')[0]) :]}" if path else "The whole config"
    title = f"## {heading}" + (f", kind `{kind}`" if kind else "") + (f", family `{family}`" if family else "")
    rows = ["| key | type | default | |", "|---|---|---|---|"]
    inner: list[str] = []
    apart = {known for _, known in SECTIONS}
    for name, field in section.model_fields.items():
        facts = _followed(schema["properties"][name], schema)
        key = f"*`{name}`*" if facts.get("operational") else f"`{name}`"
        nested = field.annotation
        is_section = isinstance(nested, type) and issubclass(nested, Section)
        default = "**required**" if field.is_required() else "" if is_section else _default(field)
        rows.append(f"| {key} | {_type(facts, schema)} | {default} | {_cell(field.description or '')} |")
        if isinstance(nested, type) and is_section and nested not in apart:
            inner += _section(f"{path}.{name}".lstrip("."), nested)
    return [title, "", " ".join((section.__doc__ or "").split()), "", *rows, "", *inner]


def _followed(facts: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A property's facts, with those of the definition it refers to."""
    if "$ref" in facts:
        return schema["$defs"][facts["$ref"].rpartition("/")[2]] | facts
    return facts


def _type(facts: dict[str, Any], schema: dict[str, Any]) -> str:
    """A type in words: `integer from 1 to 4`, `a or b`, `list of numbers`."""
    facts = _followed(facts, schema)
    if "const" in facts:
        return f"`{facts['const']}`"
    if "enum" in facts:
        return _either([f"`{value}`" for value in facts["enum"]])
    if "anyOf" in facts:
        return _either([_type(part, schema) for part in facts["anyOf"] if part.get("type") != "null"])
    match facts.get("type"):
        case "array" if "prefixItems" in facts:
            return f"list of {len(facts['prefixItems'])} {_type(facts['prefixItems'][0], schema)}s"
        case "array":
            inner = _type(facts["items"], schema)
            kind, space, limits = inner.partition(" ")
            return f"list of {inner}" if inner.startswith("`") else f"list of {kind}s{space}{limits}"
        case "object" if "additionalProperties" in facts and facts["additionalProperties"] is not False:
            return "entries by name"
        case "object":
            return "section"
        case "string" if facts.get("format") == "path":
            return "path"
        case "string":
            return "text"
        case "boolean":
            return "true or false"
        case str(kind):
            return f"{kind}{_range(facts)}"
        case _:
            return "section, one of several kinds"


def _range(facts: dict[str, Any]) -> str:
    low, high = facts.get("minimum"), facts.get("maximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if low is not None:
        return f" from {low:g}"
    if "exclusiveMinimum" in facts:
        below = f" and below {facts['exclusiveMaximum']:g}" if "exclusiveMaximum" in facts else ""
        return f" above {facts['exclusiveMinimum']:g}{below}"
    return ""


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _default(field: FieldInfo) -> str:
    """A default as YAML takes it; nothing where a section has its own table."""
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is None:
        return "none"
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def schema() -> str:
    """config/schema.json: pydantic's schema of the config, with `like` in the sections that know it."""
    made = Config.model_json_schema()
    made["properties"]["run"]["pattern"] = NAME
    for facts in made["properties"].values():
        if "additionalProperties" in facts:  # entries by name
            facts["propertyNames"] = {"pattern": NAME}
    for section in MODELS:
        entry = made["properties"][section]["additionalProperties"]
        # A sample set with `like` may leave its kind to the other one, so that several kinds can fit.
        made["properties"][section]["additionalProperties"] = {"anyOf": entry["oneOf"]} if "oneOf" in entry else entry
        for kind in entry.get("oneOf", [entry]):
            _allow_like(made["$defs"][kind["$ref"].rpartition("/")[2]] if "$ref" in kind else kind)
    return json.dumps(_without_titles(made), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _allow_like(entry: dict[str, Any]) -> None:
    """With `like` or `snapshot_of`, an entry requires nothing else."""
    like = {"type": "string", "description": "Take over all keys of the entry with this name."}
    entry["properties"] = entry["properties"] | {"like": like}
    bases = [base for base in BASES if base in entry["properties"]]
    entry["anyOf"] = [{"required": entry.pop("required")}, *({"required": [base]} for base in bases)]


def _without_titles(node: Any) -> Any:
    """pydantic's titles repeat the keys."""
    if isinstance(node, dict):
        return {
            key: _without_titles(value)
            for key, value in node.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [_without_titles(item) for item in node] if isinstance(node, list) else node


def generated() -> dict[Path, str]:
    """The generated files and what they should hold."""
    return {CONFIG / "README.md": reference(), CONFIG / "schema.json": schema()}
