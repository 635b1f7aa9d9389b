"""Published numbers as printed, and the measured row that belongs beside each.

Published numbers are strings throughout, so that no decimal is lost or invented. A difference needs everything that
the paper's protocol fixes. The paper leaves open the resize filter of FFHQ, the network of LPIPS, and which images of
FFHQ are the validation split; these fix nothing.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from bright_pipeline.base.errors import InputError
from bright_pipeline.models.key_noise import AFTER_TILING, NONE
from bright_pipeline.settings.quantities import COUNTED, GENERATED, KINDS, RECONSTRUCTIONS, Kind, Quantity
from bright_pipeline.settings.tables import Table
from bright_pipeline.tables.measured import MeasuredValue, Measurement

# Rows that differ in one of these are different experiments, not the same one under another protocol.
IDENTITY_TRAITS = frozenset({"dataset", "method", "sample_kind"})
PAPER_LOSSES = (None, "wgan_gp")

Row = dict[str, str]


class ImageSet(NamedTuple):
    """A collection behind published numbers: images of each split, and how they were resized if that is known."""

    train: int
    validation: int
    prepared: str | None = None


RESOLUTION = 256  # "Images in both datasets are resized to 256 × 256" (section 4)
IMAGE_SETS = {
    "ffhq256": ImageSet(60_000, 10_000),  # the sizes of VQGAN's lists; the filter is unknown
    # LSUN's own splits; LDM's numbers of Table 6 need reference images prepared like this.
    "lsun_church256": ImageSet(126_227, 300, "center crop, Pillow bicubic, to 256"),
}
# The repository that appendix B names in its footnote 6.
FIXED_OF_METRICS = {key: {"precision_recall": "paper_repository"} for key in ("precision", "recall", "f1")}
WITHOUT_REFERENCE = frozenset({"is"})
GENERATION_CODE_SIZE = "64x64x4"  # "we apply diffusion on the key codes of size 64 × 64 × 4" (section 4)


def read_published(folder: Path, name: str, table: Table) -> list[Row]:
    """The rows of a published table, with empty strings where the paper prints nothing; [] for a table of our own."""
    if not table.in_paper:
        return []
    path = folder / f"{name}.csv"
    if not path.is_file():
        raise InputError(f"published numbers of {name}: {path} is missing; --published names their folder")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def printed_decimals(printed: Iterable[str], default: int = 0) -> int:
    """The most digits behind the point, 2 for 22.30; `default` where nothing is printed."""
    return max((len(number.partition(".")[2]) for number in printed if number), default=default)


def row_name(row: Row) -> str:
    """Such as `BRIGHT 64x64x4`."""
    return " ".join(part for part in (row["method"], row.get("code_size", "")) if part)


def fixed_traits(row: Row, kind: Kind) -> dict[str, tuple[Any, ...]]:
    """The values that a measurement's traits may have for its numbers of one kind to stand in a published row."""
    bright = row["method"].startswith("BRIGHT")
    dataset = row.get("dataset", "")
    traits: dict[str, tuple[Any, ...]] = {"dataset": (dataset,) if dataset else tuple(IMAGE_SETS)}
    if kind is GENERATED and bright:
        traits |= {"sample_kind": ("diffusion",), "method": ("BRIGHT (LDM)", "BRIGHT")}
        traits["code_size"] = (GENERATION_CODE_SIZE,)
    elif kind is GENERATED:
        traits["method"] = (row["method"],)
    else:
        traits |= {"method": ("BRIGHT" if bright else row["method"],), "code_size": (row["code_size"],)}
        if bright:
            traits["key_length"] = (int(row.get("key_length", "1")),)
            traits["feature_size"] = (int(row.get("feature_size", "64")),)
            traits["ablation"] = (None,)
    if kind is RECONSTRUCTIONS:
        if bright:
            traits["code_noise"] = ((NONE if NONE.words in row["method"] else AFTER_TILING).name,)
        if "train_images" in row:
            traits["train_images"] = (int(row["train_images"]),)
    traits["resolution"] = (RESOLUTION,)
    if kind in (RECONSTRUCTIONS, GENERATED) and (prepared := image_set(row).prepared):
        traits["prepared"] = (prepared,)
    return traits


def fixed_protocol(row: Row, table: Table, quantity: Quantity) -> dict[str, Any]:
    """The protocol that a measured value needs for a difference from the published one."""
    if quantity.kind is RECONSTRUCTIONS:
        return {"count": image_set(row).validation, "reference": "validation"}
    if quantity.kind is not GENERATED:
        return {}
    samples = row.get("samples") or table.samples
    fixed: dict[str, Any] = {"count": int(samples) if samples else None}
    if quantity.key not in WITHOUT_REFERENCE:
        # Whole training splits, like LDM's and StyleGAN2's numbers in the same columns.
        fixed |= {"reference": "train", "reference_count": image_set(row).train}
    return fixed | FIXED_OF_METRICS.get(quantity.key, {})


def image_set(row: Row) -> ImageSet:
    """The images behind a row; InputError where the paper's protocol on them is unknown."""
    if row["dataset"] not in IMAGE_SETS:
        raise InputError(f"published numbers: dataset {row['dataset']!r} is none of {', '.join(IMAGE_SETS)}")
    return IMAGE_SETS[row["dataset"]]


@dataclass(frozen=True)
class Cell:
    """One quantity on one line."""

    published: str | None = None
    published_two_std: str | None = None
    values: dict[str, MeasuredValue] = field(default_factory=dict)  # the measured values by variant
    compared: MeasuredValue | None = None  # the value that is compared with the published number
    difference: float | None = None
    is_missing: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a table: a published row, a measured row, or both, with a cell for each quantity by its key."""

    published: Row | None
    measurement: Measurement | None
    cells: dict[str, Cell]
    notes: list[str]


def pair(rows: list[Row], listed: list[Measurement], counted: list[Measurement], table: Table) -> list[Line]:
    """The measured rows, then the published rows; a published row with a matching measurement is a measured one."""
    taken: dict[int, Measurement] = {}  # index of a published row -> the measurement that belongs to it
    unpaired: dict[str, Line] = {}

    def published_row(measurement: Measurement) -> int | None:
        """The published row that a measurement matches: a free one, else a taken one, else None."""
        matching = [index for index, row in enumerate(rows) if not mismatches(row, measurement, table)]
        return min(matching, key=lambda index: index in taken, default=None)

    # The paper's adversarial loss goes first, so that a variant of it never takes the published row.
    for measurement in sorted(listed, key=lambda m: m.traits.get("adversarial") not in PAPER_LOSSES):
        index = published_row(measurement)
        if index is None:
            # Why a row on a published dataset has no difference: how it differs from the nearest published row.
            compared = [(row, mismatches(row, measurement, table)) for row in rows if measurement.kinds]
            similar = [(row, differing) for row, differing in compared if not IDENTITY_TRAITS & differing.keys()]
            reasons = [
                f"not compared with the published {row_name(row)}: {', '.join(map(' '.join, differing.items()))}"
                for row, differing in sorted(similar, key=lambda pair: len(pair[1]))[:1]
            ]
            unpaired[measurement.name] = _line(None, measurement, None, table, reasons)
        elif index in taken:
            note = f"compared with the published {row_name(rows[index])}"
            unpaired[measurement.name] = _line(None, measurement, rows[index], table, [note])
        else:
            taken[index] = measurement
    # Counts can match a published row where the images of the same row do not.
    for measurement in [*listed, *counted]:
        if COUNTED.name in measurement.kinds:
            counts = measurement.counts()
            if (index := published_row(counts)) is not None:
                taken.setdefault(index, counts)
    lines = [_line(row, taken.get(index), row, table, []) for index, row in enumerate(rows)]
    is_measured = [line.measurement is not None and not line.measurement.is_counted for line in lines]
    measured = [line for line, measured in zip(lines, is_measured, strict=True) if measured]
    measured += [unpaired[measurement.name] for measurement in listed if measurement.name in unpaired]
    return measured + [line for line, measured in zip(lines, is_measured, strict=True) if not measured]


def mismatches(row: Row, measurement: Measurement, table: Table) -> dict[str, str]:
    """The differences between a published row and a measurement: trait -> `measured (published)`."""
    differing: dict[str, str] = {}
    if not measurement.kinds:
        return {"summaries": "none"}
    for kind in (KINDS[name] for name in sorted(measurement.kinds)):
        for trait, allowed in fixed_traits(row, kind).items():
            if (actual := measurement.traits.get(trait)) not in allowed:
                published = " or ".join(str(value or "none") for value in allowed)
                differing[trait] = f"{actual or 'unknown'} (published {published})"
        first = next(quantity for quantity in table.quantities if quantity.kind is kind)
        wanted = fixed_protocol(row, table, first).get("count")
        counts = image_counts(measurement, table, kind)
        if wanted is not None and wanted not in counts:
            differing["count"] = f"{', '.join(map(str, counts)) or 'unknown'} (published {wanted})"
    return differing


def image_counts(measurement: Measurement, table: Table, kind: Kind) -> list[int]:
    """The numbers of images behind a measurement's values of one kind."""
    keys = {key for quantity in table.quantities if quantity.kind is kind for key in quantity.measured.values()}
    protocols = [value.protocol for key, value in measurement.values.items() if key in keys]
    return sorted({protocol["count"] for protocol in protocols if "count" in protocol})


def _line(
    published: Row | None, measurement: Measurement | None, compared: Row | None, table: Table, notes: list[str]
) -> Line:
    """The line of a published and a measured row; differences are from `compared`, which may be another line's."""
    if published is not None and published.get("note"):
        notes = [*notes, f"published: {published['note']}"]
    cells = {}
    for quantity in table.quantities:
        printed = (_printed(published, quantity), _printed(published, quantity, "_pm"))
        if measurement is None:
            cells[quantity.key] = Cell(*printed)
            continue
        measured = quantity.measured.items()
        values = {variant: measurement.values[key] for variant, key in measured if key in measurement.values}
        value = measurement.values.get(quantity.compared)
        difference: float | None = None
        if compared is not None and value is not None and (number := _printed(compared, quantity)):
            differing = [
                f"{key} {actual} (published {wanted or 'unknown'})"
                for key, wanted in fixed_protocol(compared, table, quantity).items()
                if (actual := value.protocol.get(key, "unknown")) != wanted
            ]
            if differing:
                notes = [*notes, f"{quantity.name}: no difference shown: {', '.join(differing)}"]
            else:  # in decimal arithmetic, so that 0.11 - 0.12 is -0.01 and not -0.00999...
                difference = float(Decimal(repr(value.number)) - Decimal(number))
        # An absent value is missing if its kind was measured, or if all networks of a sample set are missing. Counts
        # and measurements of codes come together; an absent one does not apply, such as hash tables of a VQGAN.
        kind = quantity.kind
        expected = kind.name in measurement.kinds or (kind is GENERATED and not measurement.kinds)
        is_missing = value is None and expected and not kind.may_not_apply
        cells[quantity.key] = Cell(*printed, values, value, difference, is_missing)
    return Line(published, measurement, cells, notes)


def _printed(row: Row | None, quantity: Quantity, ending: str = "") -> str | None:
    """The number that the paper prints of a quantity in a row, or its ± with the ending `_pm`."""
    return (row.get(f"{quantity.key}{ending}") or None) if row is not None and quantity.is_published else None
