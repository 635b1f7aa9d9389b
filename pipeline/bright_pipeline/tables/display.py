"""From a built table to the table that people read: rounded cells under short headings, and the notes below them."""

import re
from math import floor, log10, sqrt
from typing import Any

from bright_pipeline.settings.quantities import COUNTED, KINDS, RECONSTRUCTIONS, Quantity
from bright_pipeline.settings.tables import HEADINGS
from bright_pipeline.stages.tables import FIRST_ROW
from bright_pipeline.tables.build import BOTH, MEASURED, BuiltTable, identity, protocol_words, source
from bright_pipeline.tables.differences import Difference
from bright_pipeline.tables.display_table import DisplayCell, DisplayTable, display_table, listed, plus_minus, sentences
from bright_pipeline.tables.measured import INTERVAL, protocol_parts
from bright_pipeline.tables.pairing import Cell, Line

MISSING = "missing"
COLUMNS_NAMED = 3  # columns alike in direction are named up to this number, then counted
MOST_OF_NAMES = 125  # characters
BRACKETED = re.compile(r" \([^)]*\)")
BETTER = {"↓": "lower is better for", "↑": "higher is better for"}
CHEAPER = "less is cheaper for"


def rounded(value: float, decimals: int, significant: int = 0) -> str:
    """Fixed decimals, more where a number below 1 would keep fewer than `significant` digits."""
    if significant and 0 < abs(value) < 1:
        decimals = max(decimals, significant - 1 - floor(log10(abs(value))))
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def cell_text(cell: Any) -> str:
    """A cell of a pandas frame; an absent one is empty."""
    return "" if cell is None or cell != cell else str(cell)


def _labelled(line: Line, table: BuiltTable) -> dict[str, Any]:
    """A line's identity with its entry's label in place of the changed keys; elsewhere the method already has it."""
    columns = identity(line, table)
    if line.measurement and (label := line.measurement.traits.get("variant_label")):
        ablation = {"variant": label, "method": line.measurement.traits["method"]}
        columns |= ablation if table.entry.baseline == "first" else {"variant": None}
    return columns


def display(table: BuiltTable) -> DisplayTable:
    """A built table as people read it; empty columns are left out."""
    identities = [_labelled(line, table) for line in table.lines]
    columns: dict[tuple[str, str], Any] = {("Source", ""): [source(line) for line in table.lines]}
    for key in table.entry.identity:
        if any(cells := [cell_text(columns_of_line[key]) for columns_of_line in identities]):
            columns[HEADINGS[key], ""] = cells
    for quantity in table.entry.quantities:
        if is_shown(table, quantity):
            columns |= _quantity(table, quantity)
    columns["Protocol", ""] = [protocol_words(line, table.entry) for line in table.lines]
    measured = [line for line in table.lines if source(line) in (MEASURED, BOTH)]
    datasets = list(dict.fromkeys(str(identity(line, table)["dataset"]) for line in measured))
    measured_on = f"measured on {', '.join(datasets)}" if datasets else "published rows only"
    section = "samples" if table.entry.of_samples else "autoencoders"
    words = len(table.entry.identity) + 1
    return display_table(
        f"{table.entry.title} ({measured_on})",
        columns,
        footnotes(table),
        [f"{section}.{line.measurement.name}" if line.measurement else None for line in table.lines],
        hint=hint(table),
        seeded=table.seeded,
        unmeasured=[
            quantity.name
            for quantity in table.entry.quantities
            if any(line.cells[quantity.key].is_missing for line in table.lines) and not has_values(table, quantity)
        ],
        changes=[cell_text(identity(line, table).get("variant")) for line in table.lines],
        alignment="l" * words + "r" * (len(columns) - words - 1) + "l",
    )


def _quantity(table: BuiltTable, quantity: Quantity) -> dict[tuple[str, str], list[DisplayCell]]:
    """The columns of one quantity."""
    cells = [line.cells[quantity.key] for line in table.lines]
    decimals, _ = table.decimals[quantity.key]
    columns = {}
    if quantity.is_published:
        spreads = [f"± {cell.published_two_std}" if cell.published_two_std else "" for cell in cells]
        columns[quantity.label, "published"] = [
            DisplayCell() if cell.published is None else DisplayCell(cell.published, float(cell.published), spread)
            for cell, spread in zip(cells, spreads, strict=True)
        ]
    for variant in quantity.measured:
        heading = f"measured ({variant})" if variant else "measured"
        if any(variant in cell.values for cell in cells):
            columns[quantity.label, heading] = [_measured(cell, table, quantity, variant) for cell in cells]
    differences = [cell.difference for cell in cells]
    if any(difference is not None for difference in differences):
        columns[quantity.label, "difference"] = [
            DisplayCell() if difference is None else DisplayCell(rounded(difference, decimals), difference)
            for difference in differences
        ]
    return columns


def _measured(cell: Cell, table: BuiltTable, quantity: Quantity, variant: str) -> DisplayCell:
    """A measured number with its uncertainty: ± over training seeds or over images, or the metric's own interval."""
    if cell.is_missing or variant not in cell.values:
        return DisplayCell(MISSING if cell.is_missing else "")
    (decimals, of_spread), number = table.decimals[quantity.key], cell.values[variant].number
    text = rounded(number, decimals, quantity.significant)
    if (value := cell.compared) is None:
        return DisplayCell(text, number)
    if table.seeded and quantity.kind.has_seeds and value.seed_std is not None:
        spread = f"± {rounded(value.seed_std, decimals, significant=1)}"
        return DisplayCell(text, number, spread, seeds=value.of_seeds)
    if quantity.two_std and value.std is not None and not table.seeded:
        count = value.protocol.get("count", 1)
        of_mean = Difference(number, value.std / sqrt(count), count - 1).interval if count > 1 else None
        return DisplayCell(text, number, f"± {rounded(2 * value.std, of_spread)}", of_mean)
    if quantity.has_interval and value.interval is not None:
        ends = ", ".join(rounded(end, decimals, quantity.significant) for end in value.interval)
        return DisplayCell(text, number, f"[{ends}]", value.interval)
    return DisplayCell(text, number)


def hint(table: BuiltTable) -> str:
    """Which columns and rows to compare, and in which direction a number is better."""
    columns: dict[str, list[str]] = {}
    for quantity in table.entry.quantities:
        # Which way is better, by the arrow of the label; counts without one are costs.
        direction = BETTER.get(quantity.label[-1], CHEAPER if quantity.kind is COUNTED else "")
        if direction and is_shown(table, quantity):
            columns.setdefault(direction, []).append(quantity.name)
    ordered = [words for words in (*BETTER.values(), CHEAPER) if words in columns]
    directions = "; ".join(f"{words} {listed(columns[words], COLUMNS_NAMED)}" for words in ordered)
    rows = [identity(line, table) for line in table.lines]
    keys = [key for key in table.entry.identity if len({row[key] for row in rows}) > 1 and key != "dataset"]
    by = listed([HEADINGS[key] for key in keys or ["method"]], COLUMNS_NAMED)
    return f"Compare rows of one dataset by {by}{': ' if directions else ''}{directions}."


def has_values(table: BuiltTable, quantity: Quantity) -> bool:
    """Whether a row has measured values of a quantity."""
    return any(line.cells[quantity.key].values for line in table.lines)


def is_shown(table: BuiltTable, quantity: Quantity) -> bool:
    """Whether a quantity has columns: the paper has it, or a row does; the notes name the other missing ones."""
    return quantity.is_published or has_values(table, quantity)


def footnotes(table: BuiltTable) -> list[str]:
    """In reading order: sources, differences, ±, networks, counts, protocols, missing metrics, origins."""
    quantities = [quantity for quantity in table.entry.quantities if is_shown(table, quantity)]
    notes = ["The paper has no such table: every number is this run's."]
    if table.entry.in_paper:
        rule = "only where dataset, code size and protocol match a published row"
        differs = any(cell.difference is not None for line in table.lines for cell in line.cells.values())
        notes = [
            "published: the paper's numbers as printed. measured: this run's numbers.",
            f"difference: measured − published, {rule}."
            if differs
            else f"No row has a difference: it is shown {rule}.",
        ]

    # ±: over training seeds, else over the images of a reconstruction.
    of_images = RECONSTRUCTIONS in table.entry.kinds
    seeds = ", ".join(map(str, table.job.training_seeds))
    if table.seeded:
        published = f" Behind a published number it is {plus_minus(seeded=False)}." if of_images else ""
        notes.append(
            f"A measured number is the mean over the training seeds {seeds}; the csv has the number of seeds of each"
            f" mean. ± is {plus_minus(seeded=True)}.{published}"
        )
    elif of_images:
        notes.append(f"± is {plus_minus(seeded=False)}; the csv has the standard deviation too.")

    # How the intervals shown were computed, in the words of the protocols.
    words = [
        f"{key.removesuffix(INTERVAL).replace('_', ' ')} {protocol[key]}"
        for quantity in table.entry.quantities
        if quantity.has_interval
        if any((value := line.cells[quantity.key].compared) and value.interval for line in table.lines)
        for protocol in table.protocols[quantity.key].values()
        for key in protocol
        if key.endswith(INTERVAL)
    ]
    notes += sentences("[low, high] is an interval of the number before it", list(dict.fromkeys(words)), "; ")

    # What the column `Changed` compares with, where no row is marked as the first.
    changed = {_labelled(line, table).get("variant") for line in table.lines} - {None}
    if changed and FIRST_ROW not in changed:
        notes.append("Changed: the config keys in which a row differs from the first row of its method.")
    traits = [line.measurement.traits for line in table.lines if line.measurement]
    labelled = [of_row for of_row in traits if of_row.get("variant_label") and of_row.get("variant")]
    notes += [f"{of_row['variant_label']}: {of_row['variant']}." for of_row in labelled]
    shown = {quantity.kind for quantity in quantities}
    notes += [kind.note for kind in KINDS.values() if kind in (shown if kind.note_where_shown else table.entry.kinds)]
    notes += [quantity.note for quantity in quantities if quantity.note]
    notes += [*_protocols(table), *(f"missing: {note}" for note in dict.fromkeys(table.job.missing))]

    # The notes of the rows, each with its row.
    for line in table.lines:
        row = ", ".join(str(value) for value in identity(line, table).values() if value is not None)
        notes += [part for note in line.notes for part in sentences(f"{source(line)} row {row}", note.split(", "))]

    # One line on the origins of the whole table; the csv has them row by row.
    if (provenance := table.job.provenance) is not None:
        origins = [f"root seed {provenance.seed}, training seeds {seeds}"] if provenance.seed is not None else []
        origins += [f"data {name} {sha256[:12]}" for name, sha256 in sorted(provenance.data.items())]
        origins += [f"code {stage} {digest[:8]}" for stage, digest in sorted(provenance.code.items())]
        notes += sentences("Provenance", origins or ["published numbers only"], "; ")
        notes.append(
            "The csv's column `provenance` has each row's folders in results/store; `bright provenance FOLDER` lists"
            " the settings, code and inputs of a folder."
        )
    return notes


def _columns(names: list[str]) -> str:
    """All names, words in brackets that they share once at the end; of names that take too long, the first."""
    (words, *_), *others = (BRACKETED.findall(name) or [""] for name in names)
    words = words if others and all(words in of_name for of_name in others) else ""
    all_names = f"{', '.join(name.replace(words, '') for name in names)}{words}"
    return all_names if len(all_names) < MOST_OF_NAMES else listed(names, COLUMNS_NAMED)


def _protocols(table: BuiltTable) -> list[str]:
    """For each dataset, the parts of a protocol that the same columns share; the rows of each version of a library."""
    columns: dict[tuple[str, str], list[str]] = {}  # of a dataset and a part of a protocol
    for quantity in table.entry.quantities:
        for dataset, protocol in table.protocols.get(quantity.key, {}).items():
            for part in protocol_parts(protocol):
                columns.setdefault((dataset, part), []).append(quantity.name)
    shared: dict[tuple[str, ...], list[str]] = {}  # parts of a dataset and its columns
    for (dataset, part), names in columns.items():
        shared.setdefault((dataset, *names), []).append(part)
    rows: dict[str, dict[str, dict[str, None]]] = {}  # library -> version -> names of rows
    for measurement in (line.measurement for line in table.lines if line.measurement is not None):
        for value in measurement.values.values():
            for library, version in value.protocol.get("versions", {}).items():
                rows.setdefault(library, {}).setdefault(str(version), {})[measurement.name] = None
    notes = [(f"Protocol on {dataset} of {_columns(names)}", parts) for (dataset, *names), parts in shared.items()]
    notes += [
        (f"Measured with {library} {version}", list(names))
        for library, versions in sorted(rows.items())
        if len(versions) > 1
        for version, names in sorted(versions.items())
    ]
    return [sentence for start, words in notes for sentence in sentences(start, words)]
