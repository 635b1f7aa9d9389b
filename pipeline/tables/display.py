"""From a built table to the table that people read: rounded cells under short headings, and the notes below them."""

from collections.abc import Sequence
from math import floor, log10
from typing import Any

from pipeline.settings.quantities import CODE_BITS, Quantity
from pipeline.settings.tables import HEADINGS
from pipeline.stages.tables import FIRST_ROW
from pipeline.tables.build import BOTH, MEASURED, PUBLISHED, BuiltTable, identity, protocol_words, source, unexplained
from pipeline.tables.display_table import DisplayCell, DisplayTable, Heading, display_table, listed
from pipeline.tables.measured import INTERVAL, protocol_text
from pipeline.tables.pairing import Cell

MISSING = "missing"
COLUMNS_NAMED = 3  # columns alike in direction are named up to this number, then counted
BETTER = {"↓": "lower is better in", "↑": "higher is better in"}
CHEAPER = "less is cheaper in"

# A note for each kind of summary; for the last three, only where the table shows a quantity of that kind.
OF_KINDS = {
    "reconstruction": "LPIPS is measured with AlexNet, LPIPS-VGG with VGG16; the paper names no network."
    " A model trained with LPIPS-AlexNet as its loss is judged by LPIPS-VGG.",
    "reconstruction_distance": "rFID is the FID of the reconstructions against the validation images themselves, rFD"
    " (EfficientNet-Lite0) the same distance on other features; the paper has neither.",
    "complexity": "M: millions of parameters, counted from the config. ngp and tcnn: two table conventions"
    " (r + 1 or r nodes per dimension); the difference is ngp's. GFLOPs are multiply-accumulates of"
    " retrieval and decoding: by the paper's hand-written rule, which the difference is taken from,"
    " and by a true count.",
    "generation": "FID and IS are on InceptionV3 as torch-fidelity resizes for it, FID (clean-fid) as clean-fid does;"
    " CLIP-FID is on CLIP ViT-B/32, precision, recall, F1, density and coverage on VGG16,"
    " FD-DINOv2 on DINOv2 ViT-L/14, CMMD on CLIP ViT-L/14 at 336 px. KID, on InceptionV3, has no bias and may fall"
    " below zero; density may exceed 1."
    " FD (Fréchet distance), KD (kernel distance, as KID), Score, Precision, Recall, F1, Density and Coverage"
    " (EfficientNet-Lite0) are other metrics, on other features: not to be compared with those. Real images are the"
    " floor of a distance.",
    "codes": "Entries in use: of a codebook (VQGAN, RQ-VAE), or of the finest resolution's hash tables, those that a"
    " key can reach, mean over groups (BRIGHT), by the codes of the training split. Perplexity: exp of the entropy of"
    " their hits. Variation of hits: standard deviation over mean of an entry's hits, in the median"
    " group. Noise: uniform within ± its size, on each number of the codes; deviations are those of the codes."
    " MB: 10^6 bytes, weights and continuous codes with 32 bits a number, quantized codes with those of their indices.",
    "decoding": "Decoded images/s: median over rounds in which the models take turns in one process, untrained weights,"
    " on the device in the protocol; only numbers of one such run can be compared.",
    "training": "Training: seconds that the history of the training counts, on whatever machine it ran.",
}
OF_BITS = (
    "Bits per image: at most so many bits of an image reach the decoder in training. Indices have log2(entries) each;"
    " keys in [0, 1] what the noise of the training leaves of them (the capacity of a bounded number with normal"
    " noise); a KL autoencoder's numbers the divergence of their posteriors from a normal distribution of each channel,"
    " measured on the validation images; numbers without noise or quantization 32 each."
)
WHERE_SHOWN = frozenset({"codes", "decoding", "training"})


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


def display(table: BuiltTable) -> DisplayTable:
    """A built table as people read it; empty columns are left out."""
    identities = [identity(line, table) for line in table.lines]
    columns: dict[Heading, Sequence[str | DisplayCell]] = {("Source", ""): [source(line) for line in table.lines]}
    for key in table.entry.identity:
        if any(cells := [cell_text(found[key]) for found in identities]):
            columns[HEADINGS[key], ""] = cells
    for quantity in table.entry.quantities:
        if is_shown(table, quantity):
            columns |= _quantity(table, quantity)
    columns["Protocol", ""] = [protocol_words(line, table.entry) for line in table.lines]
    measured = [line for line in table.lines if source(line) in (MEASURED, BOTH)]
    datasets = list(dict.fromkeys(str(identity(line, table)["dataset"]) for line in measured))
    measured_on = f"measured on {', '.join(datasets)}" if datasets else "published rows alone"
    section = "samples" if table.entry.of_samples else "autoencoders"
    words = len(table.entry.identity) + 1
    return display_table(
        f"{table.entry.title} ({measured_on})",
        columns,
        footnotes(table),
        [f"{section}.{line.measurement.name}" if line.measurement else None for line in table.lines],
        look=look(table),
        seeded=table.seeded,
        alignment="l" * words + "r" * (len(columns) - words - 1) + "l",
    )


def _quantity(table: BuiltTable, quantity: Quantity) -> dict[Heading, list[DisplayCell]]:
    """The columns of one quantity."""
    cells = [line.cells[quantity.key] for line in table.lines]
    decimals, _ = table.decimals[quantity.key]
    columns = {}
    if quantity.is_published:
        columns[quantity.label, "published"] = [
            DisplayCell(
                cell.published, float(cell.published), f"± {cell.published_two_std}" if cell.published_two_std else ""
            )
            if cell.published is not None
            else DisplayCell()
            for cell in cells
        ]
    if any(source(line) != PUBLISHED for line in table.lines):
        for variant in quantity.measured:
            heading = f"measured ({variant})" if variant else "measured"
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
    value = cell.compared
    if value is None:
        return DisplayCell(text, number)
    if table.seeded and quantity.has_seeds and value.seed_std is not None:
        spread = f"± {rounded(value.seed_std, decimals, significant=1)}"
        return DisplayCell(text, number, spread, seeds=value.of_seeds)
    if quantity.two_std and value.std is not None and not table.seeded:
        return DisplayCell(text, number, f"± {rounded(2 * value.std, of_spread)}")
    if quantity.has_interval and value.interval is not None:
        ends = ", ".join(rounded(end, decimals, quantity.significant) for end in value.interval)
        return DisplayCell(text, number, f"[{ends}]", value.interval)
    return DisplayCell(text, number)


def look(table: BuiltTable) -> str:
    """What to compare in which columns, in one line: from the directions of the quantities and the differing rows."""
    columns: dict[str, list[str]] = {}
    for quantity in table.entry.quantities:
        # Which way is better, by the arrow of the label; counts without one are costs.
        direction = BETTER.get(quantity.label[-1], CHEAPER if quantity.kind == "complexity" else "")
        if direction and is_shown(table, quantity):
            columns.setdefault(direction, []).append(quantity.name)
    ordered = [words for words in (*BETTER.values(), CHEAPER) if words in columns]
    directions = "; ".join(f"{words} {listed(columns[words], COLUMNS_NAMED)}" for words in ordered)
    rows = [identity(line, table) for line in table.lines]
    keys = [key for key in table.entry.identity if len({row[key] for row in rows}) > 1 and key != "dataset"]
    by = listed([HEADINGS[key] for key in keys or ["method"]], COLUMNS_NAMED)
    return f"Rows of one dataset, by {by}{': ' if directions else ''}{directions}."


def is_shown(table: BuiltTable, quantity: Quantity) -> bool:
    """Whether a quantity has columns: the paper has it, or a row does; the notes name the other missing ones."""
    return quantity.is_published or any(line.cells[quantity.key].values for line in table.lines)


def footnotes(table: BuiltTable) -> list[str]:
    """In reading order: sources, differences, ±, networks, counts, protocols, missing metrics, origins."""
    quantities = [quantity for quantity in table.entry.quantities if is_shown(table, quantity)]
    notes = ["The paper has no such table: every number is this run's."]
    if table.entry.in_paper:
        rule = "only where dataset, code size and protocol match a published row"
        differs = any(cell.difference is not None for line in table.lines for cell in line.cells.values())
        notes = [
            "published: the paper's numbers, as published, with its decimals. measured: this run's.",
            f"difference: measured − published, {rule}."
            if differs
            else f"No difference is shown: it is taken {rule}, and no measured row does.",
        ]

    # ±: over training seeds, else over the images of a reconstruction.
    over_images, of_images = "two standard deviations over the images", "reconstruction" in table.entry.kinds
    seeds = ", ".join(map(str, table.job.training_seeds))
    if table.seeded:
        published = f" Behind a published number it is {over_images}." if of_images else ""
        notes.append(
            f"measured ± is the standard deviation over the training seeds {seeds}, behind their mean; the csv says how"
            f" many seeds each mean is of.{published}"
        )
    elif of_images:
        notes.append(f"± is {over_images}; the csv has the standard deviation too.")

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
    if words:
        notes.append(f"[low, high] is an interval of the number before it: {'; '.join(dict.fromkeys(words))}.")

    # What the column `Changed` compares with, where no row is marked as the first.
    changed = {identity(line, table).get("variant") for line in table.lines} - {None}
    if changed and FIRST_ROW not in changed:
        notes.append("Changed: by the keys of the config, what a row has otherwise than the first of its name.")
    shown = {quantity.kind for quantity in quantities}
    notes += [OF_KINDS[kind] for kind in OF_KINDS if kind in (shown if kind in WHERE_SHOWN else table.entry.kinds)]
    if any(quantity is CODE_BITS for quantity in quantities):
        notes.append(OF_BITS)
    notes += [*_protocols(table), *(f"missing: {note}" for note in dict.fromkeys(table.job.missing))]

    # Missing metrics that no note of the job explains, and the notes of the rows, each with its row.
    names = {quantity.name for quantity in quantities}
    notes += dict.fromkeys(
        note for line in table.lines for note, of in unexplained(line, table).items() if names & set(of)
    )
    for line in table.lines:
        row = ", ".join(str(value) for value in identity(line, table).values() if value is not None)
        notes += [f"{source(line)} row {row}: {note}." for note in line.notes]

    # One line on the origins of the whole table; the csv has them row by row.
    if (made := table.job.provenance) is not None:
        data = ", ".join(f"{name} {sha256[:12]}" for name, sha256 in sorted(made.data.items()))
        code = ", ".join(f"{stage} {digest[:8]}" for stage, digest in sorted(made.code.items()))
        origins = {f"root seed {made.seed}, training seeds {seeds}": made.seed is not None}
        origins |= {f"data {data}": bool(data), f"code {code}": bool(code)}
        parts = "; ".join(words for words, known in origins.items() if known)
        notes.append(
            f"Provenance: {parts or 'published numbers alone'}. The csv's column `provenance` has each row's"
            " folders in results/store; `bright provenance FOLDER` tells what a folder was made from."
        )
    return notes


def _protocols(table: BuiltTable) -> list[str]:
    """A line per dataset and protocol with the columns that share it; a line per library of several versions."""
    columns: dict[tuple[str, str], list[str]] = {}
    for quantity in table.entry.quantities:
        for dataset, protocol in table.protocols.get(quantity.key, {}).items():
            if protocol:
                columns.setdefault((dataset, protocol_text(protocol)), []).append(quantity.name)
    found: dict[str, dict[str, dict[str, None]]] = {}
    for measurement in (line.measurement for line in table.lines if line.measurement is not None):
        for value in measurement.values.values():
            for library, version in value.protocol.get("versions", {}).items():
                found.setdefault(library, {}).setdefault(str(version), {})[measurement.name] = None
    return [
        *(f"Protocol on {dataset} of {', '.join(names)}: {words}." for (dataset, words), names in columns.items()),
        *(
            f"Measured with several versions of {library}: "
            + "; ".join(f"{version} ({', '.join(rows)})" for version, rows in sorted(versions.items()))
            + "."
            for library, versions in sorted(found.items())
            if len(versions) > 1
        ),
    ]
