"""Two numbers share a column only if they were measured alike."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from made_summaries import Built, csv_rows, ffhq, generation, reconstruction, row_named, row_of, write_summary

from pipeline.base.errors import InputError
from pipeline.tables.build import PUBLISHED
from pipeline.tables.footnotes import footnotes
from pipeline.tables.render import to_markdown


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"resize": "lanczos 112"}, "resize 'bicubic 112' and 'lanczos 112'"),
        ({"network_sha256": "e" * 64}, "network_sha256"),
        ({"reference_sha256": "f" * 64}, "reference_sha256"),
        ({"count": 500}, "count 1000 and 500"),
    ],
)
def test_two_protocols_in_one_column_stop(change: dict[str, Any], told: str, built: Built) -> None:
    one, other = generation("a", "efficientnet_lite0"), generation("b", "efficientnet_lite0", protocol=change)
    with pytest.raises(InputError) as error:
        built("table5", one, other)
    assert told in str(error.value) and "'a' and 'b'" in str(error.value)
    assert "fashion_mnist" in str(error.value) and "\n" not in str(error.value)


def test_seeds_versions_and_datasets_may_differ_in_one_column(built: Built) -> None:
    other_seed = generation("b", "efficientnet_lite0", protocol={"seed": 4, "versions": {"torch": "2.14"}})
    table = built("table5", generation("a", "efficientnet_lite0"), other_seed, ffhq("c", "efficientnet_lite0"))
    assert (table.frame["source"] != PUBLISHED).sum() == 3


def test_a_footnote_tells_rows_with_other_versions_of_a_library(built: Built) -> None:
    def of(name: str, version: str) -> dict[str, Any]:
        return generation(name, "efficientnet_lite0", protocol={"versions": {"torch": version, "numpy": "2.4"}})

    notes = footnotes(built("table5", of("a", "2.13"), of("b", "2.14"), of("c", "2.13")))
    assert [note for note in notes if "versions of" in note] == [
        "Measured with several versions of torch: 2.13 (a, c); 2.14 (b)."
    ]
    same = footnotes(built("table5", of("a", "2.13"), of("b", "2.13")))
    assert not [note for note in same if "versions of" in note]


def test_a_line_per_dataset_and_protocol_names_the_columns_that_share_it(built: Built) -> None:
    notes = footnotes(built("table5", generation("a", "efficientnet_lite0"), ffhq("c", "efficientnet_lite0")))
    names = ("FD", "Score", "Precision", "Recall", "F1", "Density", "Coverage")
    columns = ", ".join(f"{name} (EfficientNet-Lite0)" for name in names)
    told = [note.partition(": ") for note in notes if note.startswith("Protocol")]
    assert [where for where, _, _ in told] == [
        f"Protocol on {name} of {columns}" for name in ("fashion_mnist", "ffhq256")
    ]
    assert ["count 1000," in words for _, _, words in told] == [True, False]


def test_other_networks_hash_does_not_concern_a_metric(built: Built) -> None:
    one, other = reconstruction("a"), reconstruction("b")
    other["values"]["lpips_vgg"]["protocol"]["lpips_vgg_sha256"] = "f" * 64
    with pytest.raises(InputError, match=r"column LPIPS-VGG"):
        built("table2", one, other)
    del one["values"]["lpips_vgg"]
    built("table2", one, other)


def make_table(folder: Path, table: str, rows: dict[str, dict[str, Any]]) -> "subprocess.CompletedProcess[str]":
    """The stage's own command on summaries by row."""
    arguments = []
    for name, summary in rows.items():
        arguments.append(f"{name}={write_summary(folder / f'{name}.json', summary)}")
    settings = json.dumps({"table": table, "rows": [row_of(summary) for summary in rows.values()]})
    command = [sys.executable, "-m", "pipeline.make_table", settings, *arguments, "--csv", str(folder / "table.csv")]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_stops_with_one_line_that_names_what_differs(tmp_path: Path) -> None:
    """10,240 samples, as in the paper's text, and 50,000, as in its tables, are two protocols."""
    rows = {"text": ffhq("text", "inception", protocol={"count": 10_240}), "tables": ffhq("tables", "inception")}
    stopped = make_table(tmp_path, "text_10k", rows)
    assert stopped.returncode == 2 and not (tmp_path / "table.csv").exists()
    [line] = stopped.stderr.splitlines()[-1:]
    assert line == (
        "error: column FID ↓, dataset ffhq256: rows 'text' and 'tables' have two protocols: count 10240 and 50000;"
        " evaluate both alike or put them in two tables"
    )
    made = make_table(tmp_path, "text_10k", {"text": rows["text"]})
    assert made.returncode == 0 and (tmp_path / "table.csv").exists(), made.stderr


PAPER_REPOSITORY = {"precision_recall": "paper_repository", "layer": "fc2 before its ReLU"}


def vgg16(name: str, paper: bool) -> dict[str, Any]:
    """Precision and recall on VGG16 as torch-fidelity takes them, or as the paper's repository does."""
    protocol = PAPER_REPOSITORY if paper else {"precision_recall": "torch_fidelity", "layer": "fc2 after its ReLU"}
    metrics = {"precision": 0.8, "recall": 0.45, "f1": 0.576}
    return ffhq(name, "vgg16", space="vgg16_paper" if paper else "vgg16", numbers=metrics, protocol=protocol)


def test_two_protocols_of_precision_do_not_share_its_column(built: Built) -> None:
    with pytest.raises(InputError) as error:
        built("table5", vgg16("a", paper=False), vgg16("b", paper=True))
    assert str(error.value).startswith("column Precision ↑, dataset ffhq256: rows 'a' and 'b' have two protocols: ")
    for differing in (
        "layer 'fc2 after its ReLU' and 'fc2 before its ReLU'",
        "precision_recall 'torch_fidelity' and 'paper_repository'",
        "space 'vgg16' and 'vgg16_paper'",
    ):
        assert differing in str(error.value)


def test_one_row_with_two_protocols_of_precision_stops_too(built: Built) -> None:
    with pytest.raises(InputError, match=r"summaries of 'a': .*f1 has two protocols: .*space 'vgg16' and"):
        built("table5", vgg16("a", paper=False), vgg16("a", paper=True))


@pytest.mark.parametrize("paper", [False, True])
def test_either_protocol_of_precision_fills_the_column_alone(paper: bool, built: Built) -> None:
    table = built("table5", vgg16("a", paper), vgg16("b", paper))
    for name in ("a", "b"):
        assert float(row_named(table, name)["precision_measured"]) == 0.8
    word = "paper_repository" if paper else "torch_fidelity"
    assert f"precision_recall {word}" in to_markdown(table)


def test_published_rows_read_as_published_beside_any_protocol(built: Built) -> None:
    table = built("table5", vgg16("a", paper=True))
    words = {row["method"]: row["protocol"] for row in csv_rows(table)}
    assert words["StyleGAN2"] == "as published"
    assert words["BRIGHT"] == "as published; measured on 50000 samples"
