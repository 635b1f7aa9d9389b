"""The differences between the rows of a table, and the main numbers of a run."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bright_pipeline.evaluation.summary import read_summary
from bright_pipeline.settings.quantities import DECODING_SPEED, RECONSTRUCTION_DISTANCE, SAMPLE_DISTANCE
from bright_pipeline.settings.quantities import GENERATION as GENERATION_METRICS
from bright_pipeline.settings.quantities import RECONSTRUCTION as RECONSTRUCTION_METRICS
from bright_pipeline.stages.evaluation import GAUSSIAN, REAL
from bright_pipeline.stages.tables import FIRST_ROW
from bright_pipeline.tables.differences import FEWEST_SEEDS, Difference, holm, paired, welch
from bright_pipeline.tables.display_table import DisplayCell, DisplayTable, listed, plus_minus

RECONSTRUCTION, GENERATION = ("table2", "equal_budget"), ("table5", "table6", "latent_diffusion")
METRICS_NAMED = 3  # of a reconstruction
KEYS_NAMED = 2  # of the keys that a row changes, where they have no label
DIRECTION = {"↓": ", lower is better", "↑": ", higher is better"}
MEASURED = (*RECONSTRUCTION_METRICS, *RECONSTRUCTION_DISTANCE, *GENERATION_METRICS, *SAMPLE_DISTANCE, DECODING_SPEED)
QUALITY = {quantity.label for quantity in MEASURED if quantity.label[-1] in DIRECTION}
"""Quantities that rank rows. Conventions (32 bits per float) and timings that depend on other jobs are excluded."""
SAME_START = ("code_noise", "losses.", "training.", "decoder_stage")
"""Changed keys that keep the order of the data and the initial weights: such rows are compared seed by seed."""


def differences(table: DisplayTable) -> tuple[dict[str, dict[str, tuple[str, bool]]], str]:
    """Row -> quality metric -> its difference from the first row, and a note; ({}, "") for fewer than two rows.

    A difference is a text with its interval, and whether it is significant. A verdict needs three training seeds: with
    fewer, the note says so and no differences are returned.
    """
    if not (models := _models(table)):
        return {}, ""
    (first, name_of_first, start), *others = models
    base = {name: cell for name, cell in table.measured_cells(first).items() if name in QUALITY}
    has_pairs, by_cell = False, dict[tuple[str, str], Difference]()
    for row, label, keys in others:
        # Whether a row of ablations has the first row's initial weights and order of data.
        same_start = start == FIRST_ROW and all(key.strip().startswith(SAME_START) for key in keys.split(","))
        for name, cell in ((name, cell) for name, cell in table.measured_cells(row).items() if name in base):
            seeds, first_seeds, has_pairs = cell.seeds, base[name].seeds, True
            if min(len(seeds), len(first_seeds)) >= FEWEST_SEEDS:
                compare = paired if same_start and len(seeds) == len(first_seeds) else welch
                by_cell[label, name] = compare(seeds, first_seeds)
    if not by_cell:
        return {}, f"No verdict on differences: fewer than {FEWEST_SEEDS} training seeds." if has_pairs else ""
    judged: dict[str, dict[str, tuple[str, bool]]] = {}
    significant = holm([difference.p for difference in by_cell.values()])
    for ((label, name), difference), is_significant in zip(by_cell.items(), significant, strict=True):
        digits = len(base[name].text.partition(".")[2])  # as many decimals as the cell has
        numbers = (f"{number:+.{digits}f}".replace("-", "−") for number in (difference.number, *difference.interval))
        judged.setdefault(label, {})[name] = "{} [{}, {}]".format(*numbers), is_significant
    return judged, (
        f"Each row minus {name_of_first}, with 95% intervals over training seeds. Bold: significant at 5% after Holm's"
        f" correction for {len(by_cell)} comparison{'s' * (len(by_cell) > 1)}."
    )


def _models(table: DisplayTable) -> list[tuple[list[DisplayCell], str, str]]:
    """The measured rows of models, their labels (equal ones with the name in the config), and the keys they change."""
    named = []
    changes = table.changes or [table.cell(row, "Changed").text for row in table.rows]
    for row, entry, keys in zip(table.rows, table.entries, changes, strict=True):
        method, code_size, changed = (table.cell(row, name).text for name in ("Method", "Code size", "Changed"))
        if table.is_measured(row) and method not in (GAUSSIAN, REAL):
            words = listed(keys.split(", "), KEYS_NAMED) if changed == keys else changed
            label = ", ".join(filter(None, (f"{method} {code_size}".strip(), words)))
            named.append((row, label, keys, entry))
    counts = Counter(label for _, label, _, _ in named)
    return [
        (row, f"{label} ({entry.rpartition('.')[2]})" if entry and counts[label] > 1 else label, keys)
        for row, label, keys, entry in named
    ]


class KeyNumber(NamedTuple):
    """A number with its label, and a number or a spread beside it."""

    label: str
    value: str
    beside: str


def headline(tables: Mapping[str, DisplayTable], neighbours: Path | None) -> tuple[str, list[KeyNumber]]:
    """A sentence, and numbers: the first measured rows of reconstruction and generation, the neighbours."""
    clauses, numbers, subject = list[str](), list[KeyNumber](), ""
    for names, most in ((RECONSTRUCTION, METRICS_NAMED), (GENERATION, 1)):
        shown = [(tables[name], row) for name in names if name in tables for row in tables[name].measured_rows()]
        table, row = next(((table, row) for table, row in shown if table.measured_cells(row)), (None, []))
        if table is None:
            continue
        cells = list(table.measured_cells(row).items())[:most]
        method, code, data = (str(table.cell(row, key)) for key in ("Method", "Code size", "Dataset"))
        metric, first = cells[0]
        reached, real = f"with {metric.rstrip(' ↑↓')} {first.text}", ""
        if names == GENERATION:
            real_rows = [other for other in table.measured_rows() if table.cell(other, "Method").text == REAL]
            measured = map(table.measured_cells, real_rows)
            texts = [by_metric[metric].text for by_metric in measured if metric in by_metric]
            real = f"{REAL}: {texts[0]}" if texts else ""
            clause = f"generates images {reached}" + (f" (real images: {texts[0]})" if texts else "")
        else:
            of_data, from_codes = f" of {data}" if data else "", f" from codes of {code}" if code else ""
            clause = f"reconstructs images{of_data}{from_codes} {reached}"
            clause += " (0: identical)" if metric.endswith("↓") else ""
        model = method.partition(" (")[0]  # without the keys that it changes
        clauses.append(clause if model == subject else f"{model} {clause}")
        subject = model
        for name, cell in cells:
            label = name.rstrip(" ↑↓") + DIRECTION.get(name[-1], "")
            published = str(table.cell(row, name, "published"))
            beside = (real, f"published {published}" if published else "", _uncertainty(cell, table.seeded))
            numbers.append(KeyNumber(label, cell.text, "; ".join(filter(None, beside))))
    if neighbours is not None:
        # The median distance of samples to their nearest training images over that of validation images.
        ratio = f"{read_summary(neighbours).values['ratio'].number:.2f}"
        numbers.append(KeyNumber("Distance to training images", ratio, "times that of validation images; a copy has 0"))
    return f"{', and '.join(clauses) or 'This run has no measured row of Tables 2, 5 and 6'}.", numbers


def _uncertainty(cell: DisplayCell, seeded: bool) -> str:
    """How sure a number is: an interval, or ± and its meaning."""
    is_spread = cell.spread.startswith("±")
    if cell.interval is None:
        return f"{cell.spread}, {plus_minus(seeded)}" if is_spread else cell.spread
    ends = [f"{end:.{len(cell.text.partition('.')[2])}f}" for end in cell.interval]
    return f"{'95% interval of the mean' if is_spread else 'interval'}: {' to '.join(ends)}"
