"""The model card of an exported folder (README.md with metadata, as hubs read it), made from a run's results."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from bright_pipeline.evaluation.summary import Value, read_summary
from bright_pipeline.settings.quantities import GENERATION, RECONSTRUCTION, RECONSTRUCTION_DISTANCE, Quantity
from bright_pipeline.tables.display_table import DisplayCell
from bright_pipeline.tables.measured import protocol_parts

# The hub's names of licences that data and weights often have; any other is `other` with its own name.
LICENCES = {
    *("mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "unlicense", "unknown"),
    *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0"),
    *("odbl", "pddl"),
}


@dataclass(frozen=True)
class Card:
    """The content of a model card."""

    name: str
    method: str
    tags: tuple[str, ...]  # the model families
    generates: bool  # whether it makes new images, alone or with the diffusion model in its folder
    licence: str | None  # of the weights, chosen by whoever exports them
    half: bool  # whether the weights have 16 bits
    dataset: str
    data: dict[str, Any]  # the manifest of the training images
    summaries: dict[str, Path]  # by their titles
    pictures: dict[str, str]  # file names by captions
    files: set[str]  # in the folder; the template describes those that it knows
    digests: dict[str, str]


def model_card(card: Card) -> str:
    """The text of README.md."""
    # The numbers of each summary that the tables have columns for, in the order of the columns.
    columns, measured = (*RECONSTRUCTION, *RECONSTRUCTION_DISTANCE, *GENERATION), []  # title, protocol and numbers
    for title, path in card.summaries.items():
        summary = read_summary(path)
        values = summary.values
        numbers = [(column, _cell(column, values[column.compared])) for column in columns if column.compared in values]
        measured.append((title, ", ".join(protocol_parts(summary.protocol)), numbers))
    task = "unconditional-image-generation" if card.generates else "image-to-image"
    results = [
        EvalResult(
            task_type=task,
            dataset_type=card.dataset,
            dataset_name=card.dataset,
            metric_type=quantity.key,
            metric_value=round(cell.number or 0.0, 6),
            metric_name=f"{quantity.name}, {title}",
        )
        for title, _, numbers in measured
        for quantity, cell in numbers
    ]
    licence = (card.licence or "unknown").lower().replace(" ", "-")
    is_known = licence in LICENCES
    metadata = ModelCardData(  # what hubs read: licence, tags and results
        model_name=card.name,
        license=licence if is_known else "other",
        license_name=None if is_known else card.licence,
        library_name="bright-pipeline",
        pipeline_tag=task,
        tags=list(card.tags),
        eval_results=results or None,
    )
    loader = PackageLoader("bright_pipeline.page")
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    body = environment.get_template("model_card.md.j2").render(card=card, measured=measured)
    return f"---\n{metadata.to_yaml()}\n---\n\n{body}\n"


def _cell(quantity: Quantity, value: Value) -> DisplayCell:
    """A number with its interval, or its standard deviation."""
    digits, spread = quantity.decimals, "" if value.std is None else f"± {value.std:.{quantity.decimals}f}"
    if value.interval is not None:
        spread = "[{:.{d}f}, {:.{d}f}]".format(*value.interval, d=digits)
    return DisplayCell(f"{value.number:.{digits}f}", value.number, spread)
