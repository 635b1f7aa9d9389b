"""Which measured row stands beside which published one: dataset, code size and protocol decide."""

from dataclasses import dataclass, field
from typing import Any

from pipeline.tables.layout import Layout, expected_protocol, expected_traits
from pipeline.tables.measured import Measurement
from pipeline.tables.quantities import Quantity

# Traits that make two rows different things, not the same thing measured otherwise.
IDENTITY_TRAITS = frozenset({"dataset", "method", "sample_kind"})


@dataclass
class Line:
    """One line of a table: a published row, a measured one, or both.

    `compared` is the published row that differences are taken from; it is `published` where a line has
    both, and another line's where several measured rows match one published row.
    """

    published: dict[str, str] | None = None
    measurement: Measurement | None = None
    compared: dict[str, str] | None = None
    notes: list[str] = field(default_factory=list)


def pair(
    published: list[dict[str, str]], listed: list[Measurement], unlisted: list[Measurement], layout: Layout
) -> list[Line]:
    """The published rows in their order, each with what matches it, then the other measured rows."""
    lines = [Line(published=row) for row in published]
    own: dict[str, Line] = {}
    # The paper's adversarial loss goes first, so that a variant of it never takes the published row's place.
    for measurement in sorted(listed, key=lambda m: m.traits.get("adversarial") not in (None, "wgan_gp")):
        matching = _matching(lines, measurement, layout)
        if matching is not None and matching.measurement is None:
            matching.measurement, matching.compared = measurement, matching.published
        elif matching is not None:
            note = f"compared with the published {_name(matching.published or {})}"
            own[measurement.name] = Line(None, measurement, matching.published, [note])
        else:
            own[measurement.name] = Line(None, measurement, None, _reasons(published, measurement, layout))
    counts = [counts_alone(m) for m in [*listed, *unlisted] if "complexity" in m.kinds]
    for measurement in counts:
        matching = _matching(lines, measurement, layout)
        if matching is not None and matching.measurement is None:
            matching.measurement, matching.compared = measurement, matching.published
    return lines + [own[measurement.name] for measurement in listed if measurement.name in own]


def counts_alone(measurement: Measurement) -> Measurement:
    """The counts and the speed of a measurement, which can match a published row where its images do not."""
    traits = ("dataset", "method", "code_size", "key_length", "feature_size")
    prefixes = ("hash_tables.", "decoder_params", "encoder_params", "gmacs.", "decoding.")
    return Measurement(
        measurement.name,
        measurement.label,
        {key: measurement.traits[key] for key in traits if key in measurement.traits},
        measurement.kinds & {"complexity", "decoding"},
        {key: value for key, value in measurement.values.items() if key.startswith(prefixes)},
        {"complexity": measurement.files.get("complexity", [])},
    )


def _matching(lines: list[Line], measurement: Measurement, layout: Layout) -> Line | None:
    """The published line that a measurement matches: a free one, else a taken one, else None."""
    matching = [line for line in lines if line.published and not mismatches(line.published, measurement, layout)]
    return min(matching, key=lambda line: line.measurement is not None, default=None)


def mismatches(row: dict[str, str], measurement: Measurement, layout: Layout) -> dict[str, str]:
    """What differs between a published row and a measurement: trait -> `measured (published)`."""
    differing: dict[str, str] = {}
    if not measurement.kinds:
        return {"summaries": "none"}
    for kind in sorted(measurement.kinds):
        for trait, allowed in expected_traits(row, kind).items():
            if (actual := measurement.traits.get(trait)) not in allowed:
                differing[trait] = f"{actual or 'unknown'} (published {' or '.join(map(str, allowed))})"
        wanted = _published_count(row, layout, kind)
        counts = counts_of(measurement, layout, kind)
        if wanted is not None and wanted not in counts:
            differing["count"] = f"{', '.join(map(str, counts)) or 'unknown'} (published {wanted})"
    return differing


def counts_of(measurement: Measurement, layout: Layout, kind: str) -> list[int]:
    """The numbers of images behind a measurement's values of one kind; one, if all were measured alike."""
    values = [
        measurement.values[key]
        for quantity in layout.quantities
        if quantity.kind == kind
        for key in quantity.measured.values()
        if key in measurement.values
    ]
    return sorted({value.protocol["count"] for value in values if "count" in value.protocol})


def _published_count(row: dict[str, str], layout: Layout, kind: str) -> int | None:
    first = next(quantity for quantity in layout.quantities if quantity.kind == kind)
    return expected_protocol(row, layout, first).get("count")


def protocol_mismatches(row: dict[str, str], layout: Layout, quantity: Quantity, protocol: dict[str, Any]) -> list[str]:
    """What in a value's protocol keeps it from being subtracted from the published one."""
    return [
        f"{key} {protocol.get(key, 'unknown')} (published {wanted or 'unknown'})"
        for key, wanted in expected_protocol(row, layout, quantity).items()
        if wanted is None or protocol.get(key) != wanted
    ]


def _reasons(published: list[dict[str, str]], measurement: Measurement, layout: Layout) -> list[str]:
    """Why a row on a published dataset has no difference: where it leaves the nearest published row."""
    found = [(row, mismatches(row, measurement, layout)) for row in published]
    alike = [(row, differing) for row, differing in found if measurement.kinds and not IDENTITY_TRAITS & set(differing)]
    if not alike:
        return []
    row, differing = min(alike, key=lambda pair: len(pair[1]))
    told = ", ".join(f"{trait} {difference}" for trait, difference in differing.items())
    return [f"not compared with the published {_name(row)}: {told}"]


def _name(row: dict[str, str]) -> str:
    return " ".join(part for part in (row["method"], row.get("code_size", "")) if part)
