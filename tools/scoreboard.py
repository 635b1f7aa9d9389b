"""The ranks of the four families over all collections, from the tables of the pages; fills a block of docs/results.md.

    python tools/scoreboard.py [--check]

A family's ranks reach from one more than the number of families that are significantly better to those that are not
significantly worse (Welch's t over the training seeds; Holm's correction over a metric's six pairs). Families whose
ranks overlap are not separated. One training gives an order and no ranks.
"""

import sys
from itertools import combinations

from bright_pipeline.base.errors import InputError
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.tables.differences import FEWEST_SEEDS, Difference, holm
from page_numbers import DOCS, Table, cell, read_table

PAGE = DOCS / "results.md"
START, END = "<!-- scoreboard -->\n", "<!-- end -->"
COLLECTIONS = {
    "clothes": "comparison.md:latent_diffusion",
    "clothes, long": "other-systems.md:latent_diffusion",
    "drawings": "colour.md:latent_diffusion",
    "photographs": "transfer.md:latent_diffusion",
}
FAMILIES = {"BRIGHT": "BRIGHT decoder stage", "KL": "KL decoder stage", "VQGAN": "VQGAN", "RQ-VAE": "RQ-VAE"}
METRICS = {  # name -> column, and whether lower is better
    "FD of samples": ("FD samples", True),
    "KD of samples": ("KD samples", True),
    "PSNR": ("PSNR", False),
    "LPIPS": ("LPIPS", True),
    "LPIPS-VGG": ("LPIPS-VGG", True),
}
Ranks = dict[str, tuple[int, int]]


def row_of(table: Table, family: str) -> str:
    """The words of a family's row with a decoder stage."""
    labels = [label for label in table.labels if label.startswith(family) and "decoder stage" in label]
    if not labels:
        raise InputError(f"{family}: no row with a decoder stage in {table.labels}")
    return min(labels, key=len)


def numbers(table: Table, column: str) -> dict[str, tuple[float, float]]:
    """The mean and deviation of each family."""
    values = {}
    for family in FAMILIES:
        value = cell(table, column, row_of(table, family))
        mean, deviation = (sum(bounds) / 2 if bounds else 0.0 for bounds in (value.number, value.spread))
        values[family] = mean, deviation
    return values


def ranks(values: dict[str, tuple[float, float]], seeds: int, lower: bool) -> Ranks:
    """The first and the last rank of each family."""
    pairs = list(combinations(values, 2))
    spread = {family: (deviation**2, seeds) for family, (_, deviation) in values.items()}
    judged = holm([Difference.welch(values[a][0] - values[b][0], (spread[a], spread[b])).p for a, b in pairs])
    better = dict.fromkeys(values, 0)
    worse = dict.fromkeys(values, 0)
    for (one, other), is_significant in zip(pairs, judged, strict=True):
        if is_significant:
            first, last = sorted((one, other), key=lambda family: values[family][0], reverse=not lower)
            better[last] += 1
            worse[first] += 1
    return {family: (1 + better[family], len(values) - worse[family]) for family in values}


def text_of(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def words(of_family: Ranks) -> str:
    """The ranks as a phrase: families with equal ranks together."""
    groups: dict[tuple[int, int], list[str]] = {}
    for family, of_one in sorted(of_family.items(), key=lambda item: item[1]):
        groups.setdefault(of_one, []).append(family)
    if len(groups) == 1:
        return "not separated"
    return "; ".join(f"{', '.join(names)}: {text_of(*of_group)}" for of_group, names in groups.items())


def block() -> str:
    """The scoreboard in Markdown."""
    lines = [
        "| collection | seeds | metric | BRIGHT | KL | VQGAN | RQ-VAE | in words |",
        "|---|---:|---|---|---|---|---|---|",
    ]
    for collection, source in COLLECTIONS.items():
        table = read_table(source, PAGE)
        for metric, (column, lower) in METRICS.items():
            values = numbers(table, column)
            if table.seeds < FEWEST_SEEDS:
                cells = [""] * len(values)
                order = sorted(values, key=lambda family: values[family][0], reverse=not lower)
                phrase = f"no ranks from one training; in order {', '.join(order)}"
            else:
                of_family = ranks(values, table.seeds, lower)
                cells, phrase = [text_of(*of_family[family]) for family in FAMILIES], words(of_family)
            page = source.partition(":")[0]
            lines.append(f"| [{collection}]({page}) | {table.seeds} | {metric} | {' | '.join(cells)} | {phrase} |")
    return "\n".join(lines) + "\n"


def filled(text: str) -> str:
    """The page with its scoreboard."""
    before, mark, rest = text.partition(START)
    if not mark:
        raise InputError(f"{PAGE.name}: lacks {START.strip()}")
    return f"{before}{START}{block()}{END}{rest.partition(END)[2]}"


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        sys.exit("the scoreboard of docs/results.md is old: python tools/scoreboard.py" if filled(text) != text else 0)
    write_text(PAGE, filled(text))


if __name__ == "__main__":
    main()
