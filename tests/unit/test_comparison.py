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


def leads(one, other, metric="PSNR (dB)"):
    (best, number), (second, less) = one, other
    return f"{best} leads in {metric} ({number}, then {second} with {less})"


BRIGHT, KL, VQGAN = ("BRIGHT", "26.63", "0.0080"), ("KL", "25.61", "0.0091"), ("VQGAN", "23.42", "0.0135")

ALIKE = [("BRIGHT (without adversarial loss)", "24.16", ""), ("KL (without adversarial loss)", "24.36", "")]

BARE = [("LDM (codes of KL) (without noise)", "24.16", ""), ("LDM (codes of VQGAN) (without noise)", "24.36", "")]

AHEAD = leads(("BRIGHT 8x8x4", "26.63"), ("KL 8x8x4", "25.61"))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([BRIGHT, KL, VQGAN], f"{AHEAD} and LPIPS (0.0080, then KL 8x8x4 with 0.0091)."),
        (
            [("BRIGHT", "24.25", "0.0080"), KL],
            f"{leads(('KL 8x8x4', '25.61'), ('BRIGHT 8x8x4', '24.25'))};"
            f" {leads(('BRIGHT 8x8x4', '0.0080'), ('KL 8x8x4', '0.0091'), 'LPIPS')}.",
        ),
        ([BRIGHT, ("KL", "26.63", "missing")], ""),
        ([BRIGHT], ""),
        ([(REAL, "40.00", ""), ("BRIGHT", "26.63", ""), ("KL", "25.61", ""), (GAUSSIAN, "9.00", "")], f"{AHEAD}."),
        (
            [*ALIKE, ("BRIGHT", "26.63", ""), ("KL", "25.61", "")],
            f"Of those without adversarial loss, {leads(('KL 8x8x4', '24.36'), ('BRIGHT 8x8x4', '24.16'))}."
            f" Of the others, {AHEAD}.",
        ),
        (  # one alone has no like
            [*ALIKE, ("BRIGHT", "24.13", "")],
            leads(*((f"{name} 8x8x4", number) for name, number, _ in reversed(ALIKE))) + ".",
        ),
        (
            [*BARE, ("BRIGHT (LDM) b", "26.63", ""), ("KL", "25.61", "")],
            "Of those without noise, "
            f"{leads(('LDM (codes of VQGAN) 8x8x4', '24.36'), ('LDM (codes of KL) 8x8x4', '24.16'))}."
            f" Of the others, {leads(('BRIGHT (LDM) b 8x8x4', '26.63'), ('KL 8x8x4', '25.61'))}.",
        ),
    ],
)
def test_it_says_who_leads_in_what_among_its_like_and_by_how_much(rows, said):
    assert comparison(table(*rows)) == said


@pytest.mark.parametrize(
    ("ours", "theirs", "said", "seeded"),
    [
        ("26.63 ± 0.10", "26.40 ± 0.10", "; the intervals do not overlap", True),
        ("26.63 ± 0.20", "26.40 ± 0.10", "; the intervals overlap", True),
        ("26.63 [26.00, 27.00]", "26.40 [26.10, 26.80]", "; the intervals overlap", True),
        ("26.63", "26.40 ± 0.10", "", True),
        ("26.63 ± 5.0", "26.40 ± 5.0", "", False),
    ],
)
def test_a_lead_within_the_spread_is_said_to_be_one(ours, theirs, said, seeded):
    """A spread over images is no interval of the mean."""
    told = comparison(table(("BRIGHT", ours, "missing"), ("KL", theirs, "missing"), seeded=seeded))
    assert told == f"BRIGHT 8x8x4 leads in PSNR (dB) (26.63, then KL 8x8x4 with 26.40{said})."


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
    # Nothing is said where a number or an interval is missing, and with one seed it says who leads.
    without_lpips = (FIRST_ROW, "24.60 ± 0.10", "")
    not_yet, once = ("features=mlp", "missing", "0.0149 ± 0.0005"), ("decoder.style_width=0", "24.60", "")
    told = comparison(ablations(without_lpips, noise, not_yet, once))
    assert told == "Against the first row: code_noise=none is better in PSNR (dB) (24.97, not 24.60)."
    assert comparison(ablations(without_lpips, not_yet)) == ""
    told = comparison(ablations((FIRST_ROW, "24.60", ""), ("code_noise=none", "24.97", ""), seeded=False))
    assert told == "BRIGHT, code_noise=none leads in PSNR (dB) (24.97, then BRIGHT, (the first row) with 24.60)."
