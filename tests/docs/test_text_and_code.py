"""docs/authors-code.md: differences, intervals and their significance follow from the numbers of each training seed."""

import json
import re
import tarfile

import numpy as np
import pytest
from bright_pipeline.tables.differences import Difference, holm, welch
from documented import ROOT
from page_numbers import read_table

CSV = ROOT / "docs" / "csv"
DISTANCE = "efficientnet_lite0.frechet_distance"
Numbers = dict[tuple[str, str], dict[int, float]]  # by row and metric, of each seed


@pytest.fixture(scope="module")
def archived() -> Numbers:
    """FD in the archived summaries."""
    found: Numbers = {}
    with tarfile.open(CSV / "text-and-code-summaries.tar.xz") as archive:
        for member in archive:
            if match := re.fullmatch(r"evaluations/(.+?)-efficientnet-lite0(?:-seed(\d))?-\w+/.*\.json", member.name):
                content = archive.extractfile(member)
                assert content
                row, seed = match.groups()
                found.setdefault((row, "fd"), {})[int(seed or 0)] = json.load(content)["values"][DISTANCE]["number"]
    return found


def check(name: str, numbers: Numbers) -> None:
    """Each difference of the file is Welch's, and all are corrected together."""
    differences: list[Difference] = []
    stated = []
    for record in read_table(f"{name}.csv", ROOT).rows:
        for metric in (key for key in record if f"{key}_low" in record and record[key]):
            one, other = numbers[record["row"], metric], numbers[record["minus"], metric]
            assert one.keys() == other.keys() == set(range(5))
            found = welch([one[seed] for seed in range(5)], [other[seed] for seed in range(5)])
            expected = [float(record[key]) for key in (metric, f"{metric}_low", f"{metric}_high")]
            np.testing.assert_allclose([found.number, *found.interval], expected, atol=1e-4, err_msg=str(record))
            differences.append(found)
            stated.append(record[f"{metric}_significant"] == "yes")
    assert stated == list(holm([one.p for one in differences]))
    assert True in stated and False in stated


def test_text_and_code(archived: Numbers) -> None:
    numbers: Numbers = {}
    for record in read_table("text-and-code-seeds.csv", ROOT).rows:
        for metric in record.keys() - {"row", "seed"}:
            if record[metric]:
                numbers.setdefault((record["row"], metric), {})[int(record["seed"])] = float(record[metric])
    for key in numbers.keys() & archived.keys():
        assert numbers[key] == pytest.approx(archived[key], abs=1e-6), key
    check("text-and-code-differences", numbers)


def test_noise_and_stopping(archived: Numbers) -> None:
    check("noise-and-stopping-differences", archived)
