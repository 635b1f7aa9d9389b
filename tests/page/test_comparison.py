"""The differences between the rows of a table, with their intervals, and the main numbers of a run."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from bright_pipeline.page.comparison import differences, headline
from bright_pipeline.stages.evaluation import GAUSSIAN, REAL
from bright_pipeline.stages.tables import FIRST_ROW
from bright_pipeline.tables.differences import holm, paired, welch
from bright_pipeline.tables.display_table import DisplayTable
from report_inputs import display_rows

COLUMNS = [("Source", ""), ("Method", ""), ("Code size", ""), ("PSNR (dB) ↑", "measured"), ("LPIPS ↓", "measured")]


def table(*rows, seeded=True):
    columns = [*COLUMNS, ("Encoder (M)", "measured")]
    return displayed(
        columns, [["measured", method, "8x8x4", psnr, lpips, "1.0 ± 0.1"] for method, psnr, lpips in rows], seeded
    )


def displayed(columns, rows, seeded=True):
    return DisplayTable("A title", columns, display_rows(columns, rows, seeded), [], [None] * len(rows), seeded=seeded)


BRIGHT, KL = ("BRIGHT", "26.63 ± 0.10", "0.0080 ± 0.0001"), ("KL", "26.20 ± 0.10", "0.0081 ± 0.0001")


def test_each_row_is_compared_with_the_first_in_each_quantity_of_quality() -> None:
    """The encoder's size is no such quantity, and real images and Gaussian codes are no models."""
    models = table(BRIGHT, (REAL, "40.00 ± 0.10", ""), KL, (GAUSSIAN, "9.00 ± 0.10", ""), ("VQGAN", "23.42 ± 0.10", ""))
    found, note = differences(models)
    assert list(found) == ["KL 8x8x4", "VQGAN 8x8x4"]
    assert found["KL 8x8x4"] == {
        "PSNR (dB) ↑": ("−0.43 [−0.66, −0.20]", True),
        "LPIPS ↓": ("+0.0001 [−0.0001, +0.0003]", False),
    }
    assert list(found["VQGAN 8x8x4"]) == ["PSNR (dB) ↑"]
    assert note.startswith("Each row minus BRIGHT 8x8x4,") and note.endswith("correction for 3 comparisons.")


@pytest.mark.parametrize("psnr", ["26.20", "26.20 [26.00, 26.40]", "26.20 ± 0.10"])
def test_without_three_training_seeds_there_is_no_verdict(psnr: str) -> None:
    """The metrics' own intervals do not cover the training."""
    of_one = table(("BRIGHT", "36.63", "missing"), ("KL", psnr, "missing"), seeded=psnr.endswith("0.10"))
    assert differences(of_one) == ({}, "No verdict on differences: fewer than 3 training seeds.")
    assert differences(table(BRIGHT)) == ({}, "") == differences(table(BRIGHT, ("KL", "missing", "missing")))
    three = table(BRIGHT, KL)
    rows = [[cell._replace(seeds=cell.seeds[:2]) for cell in row] for row in three.rows]
    assert differences(three)[0] and not differences(replace(three, rows=rows))[0]


def test_intervals_are_those_of_welchs_and_students_t() -> None:
    one, other = [24.1, 24.6, 23.9, 24.4, 24.2], [23.2, 24.0, 23.9, 23.1, 23.6]
    for ours, theirs in (
        (welch(one, other), scipy.stats.ttest_ind(one, other, equal_var=False)),
        (paired(one, other), scipy.stats.ttest_rel(one, other)),
    ):
        low, high = theirs.confidence_interval(0.95)
        assert (*ours.interval, ours.p) == pytest.approx((low, high, theirs.pvalue))


def test_without_a_difference_two_of_forty_comparisons_or_fewer_are_significant_and_none_of_a_table() -> None:
    """The earlier rule, that mean ± deviation of three seeds do not meet, reported 8 % of them."""
    draws = np.random.default_rng(0).normal(size=(2000, 2, 3))
    p_values = [welch(*pair).p for pair in draws.tolist()]
    assert np.mean([p < 0.05 for p in p_values]) < 0.05
    tables = np.reshape(p_values, (-1, 10)).tolist()
    assert np.mean([any(holm(of_table)) for of_table in tables]) < 0.07


def test_holm_stops_at_the_first_p_value_above_its_bound() -> None:
    assert holm([0.011, 0.04, 0.012, 0.3]) == [True, False, True, False]  # bounds .0125, .0167, .025, .05
    assert holm([0.02, 0.03]) == [True, True] and holm([0.03, 0.04]) == [False, False] and holm([]) == []


def test_rows_of_one_method_and_code_are_told_apart_by_their_names() -> None:
    of_three = table(BRIGHT, ("BRIGHT", "25.61 ± 0.10", ""), KL)
    named = replace(of_three, entries=["autoencoders.main", "autoencoders.short", "autoencoders.kl"])
    found, note = differences(named)
    assert list(found) == ["BRIGHT 8x8x4 (short)", "KL 8x8x4"] and "minus BRIGHT 8x8x4 (main)," in note


def ablations(*rows: tuple[str, str]) -> DisplayTable:
    columns = [("Source", ""), ("Method", ""), ("Changed", ""), ("PSNR (dB) ↑", "measured")]
    return displayed(columns, [["measured", "BRIGHT", *row] for row in rows])


def test_ablations_with_the_same_start_are_compared_seed_by_seed() -> None:
    """The made-up seeds differ by equal amounts: seed by seed, their difference is exact."""
    rows = [(FIRST_ROW, "24.60 ± 0.10"), ("code_noise none", "25.97 ± 0.10"), ("features mlp", "25.97 ± 0.10")]
    found, _ = differences(ablations(*rows))
    exact, welchs = (found[f"BRIGHT, {changed}"]["PSNR (dB) ↑"] for changed, _ in rows[1:])
    assert exact == ("+1.37 [+1.37, +1.37]", True) and welchs == ("+1.37 [+1.14, +1.60]", True)
    # A row is named by its label and compared by its keys.
    labelled = replace(ablations(rows[0], ("without noise", "25.97 ± 0.10")), changes=[FIRST_ROW, "code_noise none"])
    assert differences(labelled)[0] == {"BRIGHT, without noise": {"PSNR (dB) ↑": exact}}


def test_a_long_list_of_changed_keys_is_shortened() -> None:
    keys = ", ".join(f"a_section.a_key_{number} 0.1" for number in range(9))
    (label,) = differences(ablations((FIRST_ROW, "24.60 ± 0.10"), (keys, "24.00 ± 0.10")))[0]
    assert label == "BRIGHT, a_section.a_key_0 0.1, a_section.a_key_1 0.1 and 7 more"


def test_the_headline_has_the_first_rows_numbers_and_those_of_real_images() -> None:
    sets = [["measured", f"LDM (codes of {name})", number] for name, number in (("KL", "24.6"), ("RQ-VAE", "24.3"))]
    columns = [("Source", ""), ("Method", ""), ("FD ↓", "measured")]
    generation = displayed(columns, [*sets, ["measured", REAL, "1.5"]])
    sentence, numbers = headline({"table2": table(BRIGHT, KL, seeded=False), "table5": generation}, None)
    assert sentence == (
        "BRIGHT reconstructs images from codes of 8x8x4 with PSNR (dB) 26.63, and LDM generates images with FD 24.6"
        " (real images: 1.5)."
    )
    assert [number.label for number in numbers][:2] == ["PSNR (dB), higher is better", "LPIPS, lower is better"]
    assert [number.beside for number in numbers][::3] == ["± 0.10, two standard deviations over images", f"{REAL}: 1.5"]


def test_beside_a_number_of_the_headline_is_an_interval_not_the_spread_of_images() -> None:
    models = table(BRIGHT, seeded=False)
    intervals = [(26.512, 26.748), (0.00791, 0.00809)]
    cells = [cell._replace(interval=of_mean) for cell, of_mean in zip(models.rows[0][3:5], intervals, strict=True)]
    columns = [("Source", ""), ("Method", ""), ("FD ↓", "measured")]
    generation = displayed(columns, [["measured", "BRIGHT (LDM)", "24.6 [20.0, 29.0]"]])
    shown = {"table2": replace(models, rows=[[*models.rows[0][:3], *cells, models.rows[0][5]]]), "table5": generation}
    sentence, numbers = headline(shown, None)
    assert sentence.endswith("26.63, and generates images with FD 24.6."), "one model, named once"
    of_means = [f"95% interval of the mean: {ends}" for ends in ("26.51 to 26.75", "0.0079 to 0.0081")]
    assert [number.beside for number in numbers if number.value != "1.0"] == [*of_means, "interval: 20.0 to 29.0"]
