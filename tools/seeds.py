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
from statistics import fmean, stdev

from bright_pipeline.engine.atomic import write_text
from bright_pipeline.tables.differences import holm, welch

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
Numbers = dict[tuple[str, str], dict[int, float]]  # by row and metric, of each seed


def summaries_of(run: Path) -> Iterator[tuple[str, Path]]:
    """Each measured row of the run's tables, with each of its summaries."""
    for table in sorted((run / "tables").glob("*.csv")):
        for record in csv.DictReader(table.read_text(encoding="utf-8").splitlines()):
            if record.get("name") and record.get("provenance"):
                for path in json.loads(record["provenance"])["summaries"]:
                    if path.endswith("summary.json"):
                        yield record["name"], run.parents[1] / path


def measured(run: Path) -> Numbers:
    """The numbers of all rows."""
    found: Numbers = {}
    for row, path in summaries_of(run):
        seed = re.search(r"-seed(\d+)-\w+$", path.parent.name)
        values = json.loads(path.read_text(encoding="utf-8"))["values"]
        for metric, key in METRICS.items():
            if key in values:
                found.setdefault((row, metric), {})[int(seed[1]) if seed else 0] = float(values[key]["number"])
    return found


def judged(pairs: list[tuple[str, str]], numbers: Numbers) -> list[dict[str, str]]:
    """A record of each pair: difference, interval and significance in each metric."""
    records = [{"row": one, "minus": other} for one, other in pairs]
    for metric in JUDGED:
        samples = [[list(numbers[row, metric].values()) for row in pair] for pair in pairs]
        differences = [welch(*of_pair) for of_pair in samples]
        verdicts = holm([each.p for each in differences])
        for record, each, is_significant in zip(records, differences, verdicts, strict=True):
            low, high = each.interval
            record |= {metric: f"{each.number:.4f}", f"{metric}_low": f"{low:.4f}", f"{metric}_high": f"{high:.4f}"}
            record[f"{metric}_significant"] = "yes" if is_significant else "no"
    return records


def of_each_seed(numbers: Numbers) -> list[dict[str, str]]:
    """A record of each row and seed; a metric that a row does not have is empty."""
    keys = dict.fromkeys((row, seed) for (row, _), of_seeds in numbers.items() for seed in sorted(of_seeds))
    records = []
    for row, seed in keys:
        values = {metric: numbers.get((row, metric), {}).get(seed) for metric in METRICS}
        shown = {metric: "" if value is None else f"{value:.6f}" for metric, value in values.items()}
        records.append({"row": row, "seed": str(seed)} | shown)
    return records


def means(numbers: Numbers) -> list[dict[str, str]]:
    """A record of each row: mean and standard deviation over its seeds."""
    records = []
    for row in dict.fromkeys(row for row, _ in numbers):
        record = {"row": row}
        for metric in METRICS:
            values = list(numbers.get((row, metric), {}).values())
            record[metric] = f"{fmean(values):.6f}" if values else ""
            record[f"{metric}_sd"] = f"{stdev(values):.6f}" if len(values) > 1 else ""
        records.append(record)
    return records


def write(path: Path, records: list[dict[str, str]]) -> None:
    lines = [list(records[0]), *(list(record.values()) for record in records)]
    write_text(path, "".join(",".join(line) + "\n" for line in lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="results/RUN")
    parser.add_argument("name", type=Path, metavar="docs/csv/NAME")
    arguments = parser.parse_args()
    name: Path = arguments.name
    numbers = measured(arguments.run.resolve())
    text = name.with_name(f"{name.name}-differences.csv").read_text(encoding="utf-8")
    pairs = [(record["row"], record["minus"]) for record in csv.DictReader(text.splitlines())]
    write(name.with_name(f"{name.name}-seeds.csv"), of_each_seed(numbers))
    write(name.with_name(f"{name.name}.csv"), means(numbers))
    write(name.with_name(f"{name.name}-differences.csv"), judged(pairs, numbers))


if __name__ == "__main__":
    main()
