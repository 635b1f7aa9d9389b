"""Numbers of each seed, their means and the differences that are judged, against scipy."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.testing import assert_frame_equal
from scipy import stats
from seeds import judged, means

ROOT = Path(__file__).parents[1]
NUMBERS = {"one": [24.0, 24.2, 24.1], "other": [23.0, 23.3, 22.9], "third": [23.1, 23.4, 22.8]}


def records(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_differences_that_were_listed_before_are_judged_over_the_seeds(tmp_path: Path) -> None:
    run, lines = tmp_path / "results" / "run", [["name", "provenance"]]
    for row, numbers in NUMBERS.items():
        paths = []
        for seed, number in reversed(list(enumerate(numbers))):
            folder = f"results/store/reconstructions/{row}{f'-seed{seed}' if seed else ''}-0123abcd"
            values = {key: {"number": number} for key in ("psnr", "lpips_alex")}
            values |= {f"efficientnet_lite0.{key}_distance": {"number": 2 * number} for key in ("frechet", "kernel")}
            (tmp_path / folder).mkdir(parents=True)
            (tmp_path / folder / "summary.json").write_text(json.dumps({"values": values}), encoding="utf-8")
            paths.append(f"{folder}/summary.json")
        lines.append([row, json.dumps({"summaries": [*paths, "results/store/decodings/all/decoding.json"]})])
    (run / "tables").mkdir(parents=True)
    with (run / "tables" / "latent_diffusion.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)
    (tmp_path / "study-differences.csv").write_text("row,minus\none,other\nother,third\n", encoding="utf-8")

    command = [sys.executable, str(ROOT / "tools" / "seeds.py"), str(run), str(tmp_path / "study")]
    subprocess.run(command, check=True)

    of_seeds = {(record["row"], int(record["seed"])): record for record in records(tmp_path / "study-seeds.csv")}
    assert {key: float(record["psnr"]) for key, record in of_seeds.items()} == {
        (row, seed): number for row, numbers in NUMBERS.items() for seed, number in enumerate(numbers)
    }
    assert of_seeds["one", 0]["recall"] == ""
    for record in records(tmp_path / "study.csv"):
        found = [float(record["fd"]), float(record["fd_sd"])]
        doubled = 2 * np.array(NUMBERS[record["row"]])
        np.testing.assert_allclose(found, [doubled.mean(), doubled.std(ddof=1)], atol=1e-6)
    significant = []
    for record in records(tmp_path / "study-differences.csv"):
        expected = stats.ttest_ind(NUMBERS[record["row"]], NUMBERS[record["minus"]], equal_var=False)
        interval = expected.confidence_interval(0.95)
        found = [float(record[f"psnr_{end}"]) for end in ("low", "high")]
        np.testing.assert_allclose(found, [interval.low, interval.high], atol=1e-4)
        significant.append(record["psnr_significant"])
    assert significant == ["yes", "no"]

    subprocess.run(command, check=True)  # what it wrote is what it reads
    assert [record["minus"] for record in records(tmp_path / "study-differences.csv")] == ["other", "third"]

    (tmp_path / "study-differences.csv").write_text("row,minus\none,others\n", encoding="utf-8")
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "study-differences.csv: others: no such row" in refused.stderr
    assert (tmp_path / "study-differences.csv").read_text(encoding="utf-8") == "row,minus\none,others\n"


def test_the_means_and_differences_of_the_exchanged_networks_follow_from_its_seeds() -> None:
    numbers, table, differences = (
        pd.read_csv(ROOT / "docs" / "csv" / f"exchanged-networks{end}.csv") for end in ("-seeds", "", "-differences")
    )
    assert numbers.groupby("row")["seed"].apply(list).map(set).to_list() == [set(range(5))] * 12
    assert_frame_equal(means(numbers), table, rtol=0, atol=2e-6)
    assert_frame_equal(judged(differences, numbers), differences, rtol=0, atol=1e-4)
