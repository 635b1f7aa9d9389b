"""Numbers of each training seed of a finished run's rows, their means, and the differences that are judged.

    python tools/seeds.py results/RUN docs/csv/NAME

It reads the tables of the run and the summaries that they name, and writes NAME-seeds.csv and NAME.csv. The rows and
columns of NAME-differences.csv say which differences are judged (`row`, `minus`), before the run; the numbers behind
them are filled: Welch's 95 % intervals, and Holm's correction over the differences of a metric.
"""

import argparse
import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.tables.differences import FEWEST_SEEDS, holm, welch

METRICS = {  # column -> number of a summary
    "psnr": "psnr",
    "ssim": "ssim",
    "lpips": "lpips_alex",
    "lpips_vgg": "lpips_vgg",
    "bits": "code_bits",
    "directions": "codes.directions",
    "deviations": "codes.tolerated_deviations",
    "rfd": "rfid.efficientnet_lite0.frechet_distance",
    "fd": "efficientnet_lite0.frechet_distance",
    "kd": "efficientnet_lite0.kernel_distance",
    "precision": "efficientnet_lite0.precision",
    "recall": "efficientnet_lite0.recall",
}
JUDGED = ("psnr", "lpips", "fd", "kd")


def summaries_of(run: Path) -> Iterator[tuple[str, Path]]:
    """Each measured row of the run's tables, with each of its summaries."""
    for table in sorted((run / "tables").glob("*.csv")):
        for record in csv.DictReader(table.read_text(encoding="utf-8").splitlines()):
            if record.get("name") and record.get("provenance"):
                for path in json.loads(record["provenance"])["summaries"]:
                    if path.endswith("summary.json"):
                        yield record["name"], run.parents[1] / path


def measured(run: Path) -> pd.DataFrame:
    """A line for each row and seed: row, seed and its metrics; NaN where the row does not have a metric."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for row, path in summaries_of(run):
        seed = re.search(r"-seed(\d+)-\w+$", path.parent.name)
        values = json.loads(path.read_text(encoding="utf-8"))["values"]
        known = {metric: float(values[key]["number"]) for metric, key in METRICS.items() if key in values}
        found.setdefault(row, {}).setdefault(int(seed[1]) if seed else 0, {}).update(known)
    lines = [{"row": row, "seed": seed, **of_row[seed]} for row, of_row in found.items() for seed in sorted(of_row)]
    return pd.DataFrame(lines, columns=["row", "seed", *METRICS])


def means(numbers: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation of each row over its seeds."""
    of_rows = numbers.drop(columns="seed").groupby("row", sort=False)
    columns = [column for metric in METRICS for column in (metric, f"{metric}_sd")]
    return of_rows.mean().join(of_rows.std().add_suffix("_sd"))[columns].reset_index()


def judged(pairs: pd.DataFrame, numbers: pd.DataFrame) -> pd.DataFrame:
    """The pairs (row, minus) with difference, interval and significance in each metric."""
    of_row = dict(list(numbers.groupby("row")))
    pairs = pairs[["row", "minus"]].copy()
    rows = pairs.to_numpy().tolist()
    for metric in JUDGED:
        samples = [[of_row[row][metric].dropna().to_list() for row in pair] for pair in rows]
        differences = [welch(*of_pair) for of_pair in samples]
        pairs[metric] = [each.number for each in differences]
        pairs[[f"{metric}_low", f"{metric}_high"]] = [each.interval for each in differences]
        verdicts = holm([each.p for each in differences])
        pairs[f"{metric}_significant"] = ["yes" if is_significant else "no" for is_significant in verdicts]
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="results/RUN")
    parser.add_argument("name", type=Path, metavar="docs/csv/NAME")
    arguments = parser.parse_args()
    seeds, table, differences = (f"{arguments.name}{end}.csv" for end in ("-seeds", "", "-differences"))
    numbers = measured(arguments.run.resolve())
    if numbers.empty:
        parser.error(f"{arguments.run}: no measured rows in its tables; the folder of a finished run in results")
    if not Path(differences).exists():
        parser.error(f"{differences}: does not exist; it lists the differences to judge, in the columns row and minus")
    pairs = pd.read_csv(differences)
    if unknown := sorted({*pairs["row"], *pairs["minus"]} - {*numbers["row"]}):
        parser.error(f"{differences}: {', '.join(unknown)}: no such row in {arguments.run}")
    if (fewest := numbers["row"].value_counts().min()) < FEWEST_SEEDS:
        parser.error(f"{arguments.run}: a row has {fewest} training seeds; a verdict needs {FEWEST_SEEDS}")
    for path, frame, decimals in (
        (seeds, numbers, 6),
        (table, means(numbers), 6),
        (differences, judged(pairs, numbers), 4),
    ):
        write_text(Path(path), frame.to_csv(index=False, float_format=f"%.{decimals}f"))


if __name__ == "__main__":
    main()
