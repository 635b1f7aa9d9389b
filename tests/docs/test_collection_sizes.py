"""docs/what-the-tables-store-tables.md: the table of collection sizes follows from the numbers of each training."""

import json
import re
import statistics
import tarfile

import pytest
from documented import ROOT

PAGE = ROOT / "docs" / "what-the-tables-store-tables.md"
ARCHIVE = ROOT / "docs" / "csv" / "collection-sizes-summaries.tar.xz"
METRICS = ["psnr_train", "lpips_train", "psnr_new", "lpips_new"]
SIZES = ["large", "medium", "small", "tiny", "mlp"]
ROWS = [f"{size}-{images}" for images in (9000, 3000, 1000, 300) for size in SIZES]


def test_means_and_deviations_are_those_of_the_archived_seeds() -> None:
    numbers: dict[tuple[str, str], list[float]] = {}
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            if match := re.fullmatch(r"storage/([a-z]+-\d+)(-seed\d)?-\w+/summary.json", member.name):
                content = archive.extractfile(member)
                assert content
                for metric, value in json.load(content)["values"].items():
                    numbers.setdefault((match[1], metric.removeprefix("stored.")), []).append(value["number"])
    table = PAGE.read_text(encoding="utf-8").partition("<!-- table collection_sizes -->")[2].partition("<details>")[0]
    lines = [line for line in table.splitlines() if re.match(r"\| \w", line)][1:]
    assert len(lines) == len(ROWS)
    for row, line in zip(ROWS, lines, strict=True):
        stated = re.findall(r"(\S+) ± (\S+)", line)
        for metric, (mean, deviation) in zip(METRICS, stated, strict=True):
            found = numbers[row, metric]
            assert len(found) == 3
            digits = len(mean.partition(".")[2])
            assert float(mean) == pytest.approx(statistics.mean(found), abs=0.51 * 10**-digits), (row, metric)
            assert float(deviation) == pytest.approx(statistics.stdev(found), abs=0.51 * 10**-digits), (row, metric)
