"""Numbers of the documentation's pages, for tests of their sentences: tables, differences, records of studies."""

import ast
import re
from csv import DictReader
from pathlib import Path
from typing import Any

import yaml
from bright_pipeline.config.root import Config, load_config, read_config
from bright_pipeline.settings.study import Grid, Study
from bright_pipeline.tables.differences import holm, welch
from snakemake.utils import update_config

ROOT = Path(__file__).parents[2]


def page_table(page: str, table: str) -> list[dict[str, str]]:
    """The rows of a table of a page, by its headings, each with the training seeds of its numbers."""
    (block,) = re.findall(
        rf"<!-- table {table} -->(.*?)<!-- end -->", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.DOTALL
    )
    lines = block[block.index("\n|") :].lstrip().partition("\n\n")[0].splitlines()
    heading, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    seeds = re.search(r"training seeds ([\d, ]+\d)", block)
    of_all = {SEEDS: seeds[1]} if seeds else {}
    return [dict(zip(heading, row, strict=True)) | of_all for row in rows]


SEEDS = "training seeds"
QUALITY = {"LPIPS ↓": -1, "SSIM ↑": 1, "PSNR (dB) ↑": 1, "LPIPS-VGG ↓": -1}
"""The metrics of reconstruction, and whether a larger number is the better one."""
DISTANCE = "FD (EfficientNet-Lite0) of samples ↓"
PSNR, LPIPS, BITS = "PSNR (dB) ↑", "LPIPS ↓", "Bits per image ↓"


def interval(row: dict[str, str], name: str) -> tuple[float, float]:
    """Mean less and plus the deviation over the seeds."""
    mean, deviation = map(float, row[name].split(" ± "))
    return mean - deviation, mean + deviation


def mean(row: dict[str, str], name: str) -> float:
    """Over seeds or images: what stands before the spread."""
    return float(row[name].split(" ")[0])


def ranked(rows: list[dict[str, str]], name: str) -> list[dict[str, str]]:
    """The best first, by the mean."""
    return sorted(rows, key=lambda row: -QUALITY[name] * mean(row, name))


def of_seeds(row: dict[str, str], name: str) -> list[float]:
    """As many numbers as the page has training seeds, with their mean and deviation."""
    low, high = interval(row, name)
    mean = (low + high) / 2
    return {3: [low, mean, high], 5: [low, low, mean, high, high]}[len(row[SEEDS].split(","))]


def differs(row: dict[str, str], other: dict[str, str], name: str, digits: int) -> tuple[float, float]:
    """The size of a difference and half of its interval, as the pages round them."""
    found = welch(of_seeds(row, name), of_seeds(other, name))
    return round(abs(found.number), digits), round(found.half(), digits)


def significant(row: dict[str, str], other: dict[str, str]) -> list[str]:
    """The metrics of reconstruction in which two rows differ, after Holm's correction for the four."""
    verdicts = holm([welch(of_seeds(row, name), of_seeds(other, name)).p for name in QUALITY])
    return [name for name, verdict in zip(QUALITY, verdicts, strict=True) if verdict]


def overlaid(name: str) -> Config:
    """config/comparison.yaml with another config on top, as Snakemake joins them."""
    values, added = (
        yaml.safe_load((ROOT / "config" / f"{file}.yaml").read_text(encoding="utf-8")) for file in ("comparison", name)
    )
    update_config(values, added)
    return load_config(values)


SEARCHED = list(Grid.model_fields)
STUDIES = {
    (run, name): study
    for run in ("comparison", "demo-colour", "transfer")
    for name, study in read_config(ROOT / "config" / f"{run}.yaml").studies.items()
} | {("ablations", "parts"): overlaid("ablations").studies["parts"]}


def trials_of(run: str, study: str) -> list[dict[str, str]]:
    """The record of a study by its csv's headings: the csv beside the page, else the page's table."""
    csv = ROOT / "docs" / "csv" / f"{run}-study_{study}.csv"
    if csv.exists():
        return list(DictReader(csv.read_text(encoding="utf-8").splitlines()))
    rows = [{key.lower(): value for key, value in row.items()} for row in page_table(f"{run}.md", f"study_{study}")]
    return [{key.removesuffix(" ↓").replace(" ", "_"): value for key, value in row.items()} for row in rows]


def tried(row: dict[str, str], study: Study) -> dict[str, Any]:
    """The settings of a trial: a row of the study's record."""
    keys = [key for key in SEARCHED if getattr(study.grid, key)]
    values = {key: ast.literal_eval(row[key]) for key in keys}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def best(run: str, study: str) -> dict[str, dict[str, Any]]:
    """The best settings of each family in a study."""
    best_of = [row for row in trials_of(run, study) if row["best"] in ("best", "True")]
    return {row["autoencoder"]: tried(row, STUDIES[run, study]) for row in best_of}


def chosen(family: str, images: int) -> dict[str, Any]:
    """For so many photographs of clothes: what the studies of about that length found; beyond, a rate that fell falls
    once more."""
    short = best("comparison", "rates")[family]
    longer = short | best("comparison", "longer")[family] | best("comparison", "longer_encoder")[family]
    if images < 2 * STUDIES["comparison", "rates"].images:
        return short
    if images < 2 * STUDIES["comparison", "longer"].images:
        return longer
    fall = longer["learning_rate"] / short["learning_rate"]
    return longer | {"learning_rate": longer["learning_rate"] * min(1.0, fall)}
