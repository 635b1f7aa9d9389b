"""The model card of an exported folder (README.md with front matter, as hubs read it), made from a run's results."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.base.summary import Value, read_summary
from pipeline.settings.quantities import GENERATION, RECONSTRUCTION, RECONSTRUCTION_DISTANCE, Quantity
from pipeline.tables.measured import protocol_text

LICENCES = {
    *("mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "unlicense", "unknown"),
    *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0"),
    *("odbl", "pddl"),
}
"""What hubs call licences that data and weights often have; any other one is `other`, with its own name beside."""
IMAGES, NEW_IMAGES = "image-to-image", "unconditional-image-generation"


@dataclass(frozen=True)
class Card:
    """What is known of a model."""

    name: str
    method: str
    tags: tuple[str, ...]
    """The model families."""
    generates: bool
    """Whether it makes new images, alone or by the diffusion model that comes with it."""
    licence: str | None
    """Of the weights, by whoever exports them."""
    dataset: str
    data: dict[str, Any]
    """The manifest of the images that it was trained on."""
    summaries: dict[str, Path]
    """By what they are of."""
    pictures: dict[str, str]
    """File names by what they show."""
    files: dict[str, str]
    """What lies in the folder."""
    digests: dict[str, str]


@dataclass(frozen=True)
class Measured:
    """The numbers of one summary, and how they were measured."""

    what: str
    protocol: str
    numbers: "list[Number]"


@dataclass(frozen=True)
class Number:
    """A measured number as the card has it."""

    quantity: Quantity
    value: Value

    @property
    def cell(self) -> str:
        """With its interval, or its standard deviation."""
        digits = self.quantity.decimals
        if self.value.interval is not None:
            return "{:.{d}f} [{:.{d}f}, {:.{d}f}]".format(self.value.number, *self.value.interval, d=digits)
        spread = f" ± {self.value.std:.{digits}f}" if self.value.std is not None else ""
        return f"{self.value.number:.{digits}f}{spread}"


def model_card(card: Card) -> str:
    """The text of README.md."""
    measured = [_measured(what, path) for what, path in card.summaries.items()]
    front = yaml.safe_dump(_front_matter(card, measured), sort_keys=False, allow_unicode=True)
    loader = PackageLoader("pipeline.page")
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    body = environment.get_template("model_card.md.j2").render(card=card, measured=measured)
    return f"---\n{front}---\n\n{body}\n"


def _front_matter(card: Card, measured: list[Measured]) -> dict[str, Any]:
    """What hubs read: licence, tags and results."""
    task = {"type": NEW_IMAGES if card.generates else IMAGES}
    metrics = [
        {"type": one.quantity.key, "name": f"{one.quantity.name}, {of.what}", "value": round(one.value.number, 6)}
        for of in measured
        for one in of.numbers
    ]
    result = {"task": task, "dataset": {"name": card.dataset, "type": card.dataset}, "metrics": metrics}
    results = {"model-index": [{"name": card.name, "results": [result]}]} if metrics else {}
    told = {"library_name": "bright-pipeline", "pipeline_tag": task["type"], "tags": list(card.tags)}
    return _licence(card.licence) | told | results


def _licence(given: str | None) -> dict[str, str]:
    name = (given or "unknown").lower().replace(" ", "-")
    return {"license": name} if name in LICENCES else {"license": "other", "license_name": given or ""}


def _measured(what: str, path: Path) -> Measured:
    """The numbers of a summary that the tables have columns for, in their order."""
    summary = read_summary(path)
    columns = (*RECONSTRUCTION, *RECONSTRUCTION_DISTANCE, *GENERATION)
    numbers = [Number(one, summary.values[one.compared]) for one in columns if one.compared in summary.values]
    return Measured(what, protocol_text(summary.protocol), numbers)
