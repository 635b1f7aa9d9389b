"""The paragraph that compares: every number from the table's cells, and a lead within the spread said to be one."""

from dataclasses import replace

import pytest
from report_inputs import display_rows

from pipeline.page.comparison import comparison
from pipeline.stages.evaluation import GAUSSIAN, REAL
from pipeline.stages.tables import FIRST_ROW
from pipeline.tables.display_table import DisplayTable

COLUMNS = [("Source", ""), ("Method", ""), ("Code size", ""), ("PSNR (dB) ↑", "measured"), ("LPIPS ↓", "measured")]


def table(*rows, seeded=True):
    columns = [*COLUMNS, ("Encoder (M)", "measured")]
    return displayed(
        columns, [["measured", method, "8x8x4", psnr, lpips, "1.0"] for method, psnr, lpips in rows], seeded
    )


def displayed(columns, rows, seeded):
    return DisplayTable("A title", columns, display_rows(columns, rows, seeded), [], [None] * len(rows), seeded=seeded)


def test_it_says_who_leads_in_what_and_by_how_much():
    told = comparison(table(("BRIGHT", "26.63", "0.0080"), ("KL", "25.61", "0.0091"), ("VQGAN", "23.42", "0.0135")))
    lpips = "LPIPS (0.0080, then KL 8x8x4 with 0.0091)"
    assert told == f"BRIGHT 8x8x4 leads in PSNR (dB) (26.63, then KL 8x8x4 with 25.61) and {lpips}."


def test_different_leaders_are_named_each_with_its_own():
    told = comparison(table(("BRIGHT", "24.25", "0.0080"), ("KL", "25.61", "0.0091")))
    assert "BRIGHT 8x8x4 leads in LPIPS (0.0080" in told
    assert "KL 8x8x4 leads in PSNR (dB) (25.61, then BRIGHT 8x8x4 with 24.25)" in told


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ("26.63 ± 0.10", "26.40 ± 0.10", "; the intervals do not overlap"),
        ("26.63 ± 0.20", "26.40 ± 0.10", "; the intervals overlap"),
        ("26.63 [26.00, 27.00]", "26.40 [26.10, 26.80]", "; the intervals overlap"),
        ("26.63", "26.40 ± 0.10", ""),
    ],
)
def test_a_lead_within_the_spread_is_said_to_be_one(ours, theirs, said):
    told = comparison(table(("BRIGHT", ours, "missing"), ("KL", theirs, "missing")))
    assert told == f"BRIGHT 8x8x4 leads in PSNR (dB) (26.63, then KL 8x8x4 with 26.40{said})."


def test_a_spread_over_images_is_no_interval_of_the_mean():
    told = comparison(table(("BRIGHT", "26.63 ± 5.0", ""), ("KL", "26.40 ± 5.0", ""), seeded=False))
    assert "overlap" not in told


def test_equal_numbers_and_single_rows_lead_in_nothing():
    assert comparison(table(("BRIGHT", "26.63", "0.0080"), ("KL", "26.63", "missing"))) == ""
    assert comparison(table(("BRIGHT", "26.63", "0.0080"))) == ""


def test_rows_of_one_method_and_code_are_told_apart_by_their_names() -> None:
    of_three = table(("BRIGHT", "26.63", "missing"), ("BRIGHT", "25.61", "missing"), ("KL", "23.42", "missing"))
    told = comparison(replace(of_three, entries=["autoencoders.main", "autoencoders.short", "autoencoders.kl"]))
    assert told == "BRIGHT 8x8x4 (main) leads in PSNR (dB) (26.63, then BRIGHT 8x8x4 (short) with 25.61)."


def ablations(*rows: tuple[str, str, str], seeded: bool = True) -> DisplayTable:
    columns = [("Source", ""), ("Method", ""), ("Changed", ""), ("PSNR (dB) ↑", "measured"), ("LPIPS ↓", "measured")]
    return displayed(columns, [["measured", "BRIGHT", *row] for row in rows], seeded)


def test_of_ablations_it_says_what_each_gains_and_loses_beyond_the_spread() -> None:
    first = (FIRST_ROW, "24.60 ± 0.10", "0.0150 ± 0.0005")
    noise = ("code_noise=none", "24.97 ± 0.10", "0.0170 ± 0.0005")
    tables = ("features=mlp", "24.65 ± 0.20", "0.0149 ± 0.0005")
    style = ("decoder.style_width=0", "23.00 ± 0.10", "0.0152 ± 0.0005")
    assert comparison(ablations(first, noise, tables, style)) == (
        "Against the first row: code_noise=none is better in PSNR (dB) (24.97, not 24.60) and worse in LPIPS (0.0170,"
        " not 0.0150); decoder.style_width=0 is worse in PSNR (dB) (23.00, not 24.60); features=mlp differs in nothing"
        " by more than the intervals."
    )


def test_of_an_ablation_without_a_number_or_an_interval_nothing_is_said() -> None:
    first, noise = (FIRST_ROW, "24.60 ± 0.10", ""), ("code_noise=none", "24.97 ± 0.10", "")
    not_yet, once = ("features=mlp", "missing", "0.0149 ± 0.0005"), ("decoder.style_width=0", "24.60", "")
    told = comparison(ablations(first, noise, not_yet, once))
    assert told == "Against the first row: code_noise=none is better in PSNR (dB) (24.97, not 24.60)."
    assert comparison(ablations(first, not_yet)) == ""


def test_of_ablations_with_one_seed_it_says_who_leads() -> None:
    told = comparison(ablations((FIRST_ROW, "24.60", ""), ("code_noise=none", "24.97", ""), seeded=False))
    assert told == "BRIGHT, code_noise=none leads in PSNR (dB) (24.97, then BRIGHT, (the first row) with 24.60)."


def test_rows_trained_otherwise_are_compared_with_their_like() -> None:
    alike = [("BRIGHT (without adversarial loss)", "24.16", ""), ("KL (without adversarial loss)", "24.36", "")]
    others = [("BRIGHT", "24.13", ""), ("KL", "23.21", "")]
    assert comparison(table(*alike, *others)) == (
        "Of those without adversarial loss, KL 8x8x4 leads in PSNR (dB) (24.36, then BRIGHT 8x8x4 with 24.16)."
        " Of the others, BRIGHT 8x8x4 leads in PSNR (dB) (24.13, then KL 8x8x4 with 23.21)."
    )
    told = comparison(table(*alike, others[0]))
    assert told.startswith("KL (without adversarial loss) 8x8x4 leads in PSNR (dB)"), "one alone has no like"


def test_the_last_words_in_brackets_are_those_of_the_training() -> None:
    bare = [
        (f"LDM (codes of {name}) (without noise)", psnr, "") for name, psnr in (("KL", "24.16"), ("VQGAN", "24.36"))
    ]
    others = [("BRIGHT (LDM) b", "24.13", ""), ("KL", "23.21", "")]
    assert comparison(table(*bare, *others)) == (
        "Of those without noise, LDM (codes of VQGAN) 8x8x4 leads in PSNR (dB) (24.36, then LDM (codes of KL) 8x8x4"
        " with 24.16). Of the others, BRIGHT (LDM) b 8x8x4 leads in PSNR (dB) (24.13, then KL 8x8x4 with 23.21)."
    )


def test_real_images_and_gaussian_codes_are_no_rivals() -> None:
    told = comparison(table((REAL, "40.00", ""), ("BRIGHT", "26.63", ""), ("KL", "25.61", ""), (GAUSSIAN, "9.00", "")))
    assert told == "BRIGHT 8x8x4 leads in PSNR (dB) (26.63, then KL 8x8x4 with 25.61)."
