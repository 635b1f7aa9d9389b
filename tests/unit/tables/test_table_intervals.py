"""Intervals of generation metrics, and distances of reconstructions (rFID)."""

from made_summaries import Built, church, ffhq, generation, reconstruction, reconstruction_distance, row_named

from pipeline.tables.build import BOTH
from pipeline.tables.footnotes import footnotes
from pipeline.tables.render import to_latex, to_markdown

HOW = {"frechet_distance_interval": "95%, jackknife over 20 groups", "score_interval": "95%, Student's t"}
INTERVALS = {"frechet_distance": [551.23, 581.87], "score_mean": [3.1, 3.9]}


def test_an_interval_stands_behind_its_number_and_a_footnote_says_how(built: Built) -> None:
    table = built("table5", generation("main", "efficientnet_lite0", intervals=INTERVALS, protocol=HOW))
    row = row_named(table, "main")
    assert float(row["fd_efficientnet_lite0_measured"]) == 538.987
    assert float(row["fd_efficientnet_lite0_measured_low"]) == 551.23
    assert float(row["fd_efficientnet_lite0_measured_high"]) == 581.87
    assert row["recall_efficientnet_lite0_measured_low"] == ""
    for form in (to_markdown(table), to_latex(table)):
        assert "539.0 [551.2, 581.9]" in form and "3.46 [3.10, 3.90]" in form
        assert "0.512" in form and "0.512 [" not in form
    notes = footnotes(built("table5", generation("main", "efficientnet_lite0", intervals=INTERVALS, protocol=HOW)))
    assert [note for note in notes if note.startswith("[low, high]")] == [
        "[low, high] is an interval of the number before it: frechet distance 95%, jackknife over 20 groups;"
        " score 95%, Student's t."
    ]
    plain = footnotes(built("table5", generation("main", "efficientnet_lite0", protocol=HOW)))
    assert not [note for note in plain if note.startswith("[low, high]")]


def test_clean_fid_has_a_column_of_its_own_without_a_published_number(built: Built) -> None:
    clean = ffhq("main", "inception", space="inception_clean", numbers={"frechet_distance": 7.5})
    table = built("table5", ffhq("main", "inception", numbers={"frechet_distance": 7.25}), clean)
    row = row_named(table, "main")
    assert row["source"] == BOTH
    assert (row["fid_measured"], row["fid_clean_measured"]) == ("7.25", "7.5")
    assert "fid_clean_published" not in row and "fid_clean_difference" not in row
    assert "| FID (clean-fid) ↓ measured" in to_markdown(table)


def test_a_column_that_only_a_missing_network_would_fill_is_left_out_with_the_reason(built: Built) -> None:
    note = "network inception is missing (FID, IS): put it into results/networks"
    text = to_markdown(built("table2", reconstruction("main"), missing=[note]))
    assert "rFID ↓" not in text and f"missing: {note}" in text
    text = to_markdown(built("table5", generation("main", "efficientnet_lite0"), missing=[note]))
    assert "FID (clean-fid) ↓" not in text and f"missing: {note}" in text


def test_distances_of_reconstructions_stand_in_table_2_beside_published_rows(built: Built) -> None:
    spaces = ("inception", "inception_clean", "efficientnet_lite0")
    table = built("table2", reconstruction("main"), *[reconstruction_distance("main", space) for space in spaces])
    row = row_named(table, "main")
    for key in ("rfid", "rfid_clean", "rfd_efficientnet_lite0"):
        assert float(row[f"{key}_measured"]) == 87.654 and float(row[f"{key}_measured_low"]) == 80
    assert row["protocol"] == "measured on 1000 validation images"
    header = to_markdown(table).splitlines()[2]
    for heading in ("rFID ↓ measured", "rFID (clean-fid) ↓ measured", "rFD (EfficientNet-Lite0) ↓ measured"):
        assert heading in header
    assert "87.65 [80.00, 95.00]" in to_markdown(table)
    distance = reconstruction_distance("c", "inception", dataset="lsun_church256", code_size="64x64x4")
    assert row_named(built("table2", church("c", "64x64x4"), distance), "c")["source"] == BOTH
    table = built("table2", reconstruction("a"), reconstruction_distance("a", "inception"), reconstruction("b"))
    assert "rfid_clean" in row_named(table, "a")["missing"]
    [line] = [line for line in to_markdown(table).splitlines() if line.startswith("| measured") and "87.65" not in line]
    assert "23.81" in line
