"""The paragraph that compares: numbers from the table's cells, and differences with their intervals."""

import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from bright_pipeline.commands.document import table_block
from bright_pipeline.page.comparison import against_first, comparison, headline
from bright_pipeline.stages.evaluation import GAUSSIAN, REAL
from bright_pipeline.stages.tables import FIRST_ROW
from bright_pipeline.tables.differences import holm, of_pairs, welch
from bright_pipeline.tables.display_table import DisplayTable
from report_inputs import display_rows

COLUMNS = [("Source", ""), ("Method", ""), ("Code size", ""), ("PSNR (dB) ↑", "measured"), ("LPIPS ↓", "measured")]


def table(*rows, seeded=True):
    columns = [*COLUMNS, ("Encoder (M)", "measured")]
    return displayed(
        columns, [["measured", method, "8x8x4", psnr, lpips, "1.0"] for method, psnr, lpips in rows], seeded
    )


def paragraph(table: DisplayTable) -> str:
    """The sentences on a table, in one paragraph."""
    return " ".join(comparison(table))


def displayed(columns, rows, seeded):
    return DisplayTable("A title", columns, display_rows(columns, rows, seeded), [], [None] * len(rows), seeded=seeded)


BRIGHT, KL, VQGAN = ("BRIGHT", "26.63", "0.0080"), ("KL", "25.61", "0.0091"), ("VQGAN", "23.42", "0.0135")

ALIKE = [("BRIGHT (without adversarial loss)", "24.16", ""), ("KL (without adversarial loss)", "24.36", "")]

NAMES = {"KL autoencoder": 24.6, "RQ-VAE": 24.3, "VQGAN": 22.0}

AHEAD = "PSNR (dB): BRIGHT 8x8x4 (26.63), then KL 8x8x4 (25.61); no interval is known."


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [BRIGHT, KL, VQGAN],
            f"{AHEAD} LPIPS: BRIGHT 8x8x4 (0.0080), then KL 8x8x4 (0.0091); no interval is known.",
        ),
        ([BRIGHT, ("KL", "26.63", "missing")], ""),
        ([BRIGHT], ""),
        ([(REAL, "40.00", ""), ("BRIGHT", "26.63", ""), ("KL", "25.61", ""), (GAUSSIAN, "9.00", "")], AHEAD),
        (
            [*ALIKE, ("BRIGHT", "24.13", "")],
            "PSNR (dB): KL (without adversarial loss) 8x8x4 (24.36), then BRIGHT (without adversarial loss) 8x8x4"
            " (24.16); no interval is known.",
        ),
    ],
)
def test_it_names_the_best_and_the_second_in_each_quantity_of_quality(rows, said):
    """The encoder's size is no such quantity."""
    assert paragraph(table(*rows)) == said


@pytest.mark.parametrize(
    ("ours", "theirs", "said", "seeded"),
    [
        ("26.63 ± 0.10", "26.20 ± 0.10", " leads KL 8x8x4 (26.20) by 0.43 [0.20, 0.66].", True),
        (
            "26.63 ± 0.20",
            "26.40 ± 0.10",
            " and KL 8x8x4 (26.40) do not differ significantly; a difference of 0.42",
            True,
        ),
        ("26.63 [26.00, 27.00]", "26.40 [26.10, 26.80]", " and KL 8x8x4 (26.40) do not differ significantly", False),
        ("26.63 [26.53, 26.73]", "26.40 [26.30, 26.50]", " leads KL 8x8x4 (26.40) by 0.23 [0.09, 0.37].", False),
        ("26.63 ± 5.0", "26.40 ± 5.0", ", then KL 8x8x4 (26.40); no interval is known.", False),
    ],
)
def test_a_lead_has_the_interval_of_the_difference_or_is_none(ours, theirs, said, seeded):
    """A spread over images is no interval of the mean."""
    told = paragraph(table(("BRIGHT", ours, "missing"), ("KL", theirs, "missing"), seeded=seeded))
    assert told.startswith(f"PSNR (dB): BRIGHT 8x8x4 (26.63){said}")
    assert ("Holm's correction for 1 comparison." in told) == ("no interval" not in said)


SAMPLES = [("Source", ""), ("Method", ""), ("FD (EfficientNet-Lite0) of samples ↓", "measured")]


def test_in_distances_of_samples_the_first_row_is_compared_with_each_other_row() -> None:
    """The best and the second are compared in any case; no pair is compared twice."""
    rows = [("BRIGHT", "405.0 ± 9.0"), ("VQGAN", "320.0 ± 9.0"), ("RQ-VAE", "340.0 ± 9.0"), ("KL", "410.0 ± 9.0")]
    distances = displayed(SAMPLES, [["measured", *row] for row in rows], seeded=True)
    assert re.findall(r": (\S+) .*? (and|leads|trails) (\S+) ", paragraph(distances)) == [("VQGAN", "and", "RQ-VAE")]
    assert "correction for 4 comparisons" in paragraph(distances)
    (_, _, name) = (quantity for quantity, _ in SAMPLES)
    assert {row: found[name].partition(";")[0] for row, found in against_first(distances).items()} == {
        "VQGAN": "**−85.0** [−105.4, −64.6]",
        "RQ-VAE": "**−65.0** [−85.4, −44.6]",
        "KL": "+5.0 [−15.4, +25.4]",
    }
    piped = displayed(
        SAMPLES, [["measured", "A | B", "405.0 ± 9.0"], ["measured", "C | D", "320.0 ± 9.0"]], seeded=True
    )
    lines = [line for line in table_block(piped, "", "").splitlines() if line.startswith("|")]
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines[-3:]] == [3, 3, 3]
    # Where the first row is one of the best two, their sentence and the cell are one comparison.
    best = displayed(SAMPLES, [["measured", *row] for row in [rows[2], rows[1], rows[3]]], seeded=True)
    assert "VQGAN (320.0) and RQ-VAE (340.0)" in paragraph(best) and "correction for 2 comparisons" in paragraph(best)
    assert against_first(best)["VQGAN"][name].startswith("−20.0 [−40.4, +0.4]")


def test_the_difference_that_would_be_significant_is_larger_than_every_one_that_is_not() -> None:
    """At the level of Holm's correction: with several comparisons it is more than half of a 95 % interval."""
    numbers = {"BRIGHT": "460.0 ± 9.0", "VQGAN": "430.0 ± 9.0", "RQ-VAE": "431.0 ± 9.0", "KL": "500.0 ± 1.0"}
    distances = displayed(SAMPLES, [["measured", *row] for row in numbers.items()], seeded=True)
    pairs = re.findall(r"\((\S+)\) and .*?\((\S+)\) do not .*?; a difference of (\S+) ", paragraph(distances))
    found = [(abs(float(one) - float(other)), float(would)) for one, other, would in pairs]
    cells = [cell for row in against_first(distances).values() for cell in row.values()]
    found += [(abs(float(cell.replace("−", "-").split()[0])), float(cell.split()[-4])) for cell in cells]
    assert len(found) == 4 and all(number < would for number, would in found)
    # Two deviations of 9 with three seeds: t of four degrees of freedom at 5 % over four comparisons.
    error = 9 * (2 / 3) ** 0.5
    assert found[0][1] == round(error * scipy.stats.t.ppf(1 - 0.05 / 4 / 2, 4), 1)


def test_intervals_are_those_of_welchs_and_students_t() -> None:
    one, other = [24.1, 24.6, 23.9, 24.4, 24.2], [23.2, 24.0, 23.9, 23.1, 23.6]
    for ours, theirs in (
        (welch(one, other), scipy.stats.ttest_ind(one, other, equal_var=False)),
        (of_pairs([a - b for a, b in zip(one, other, strict=True)]), scipy.stats.ttest_rel(one, other)),
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
    of_three = table(("BRIGHT", "26.63", "missing"), ("BRIGHT", "25.61", "missing"), ("KL", "23.42", "missing"))
    told = paragraph(replace(of_three, entries=["autoencoders.main", "autoencoders.short", "autoencoders.kl"]))
    assert told == "PSNR (dB): BRIGHT 8x8x4 (main) (26.63), then BRIGHT 8x8x4 (short) (25.61); no interval is known."


def ablations(*rows: tuple[str, str, str], seeded: bool = True) -> DisplayTable:
    columns = [("Source", ""), ("Method", ""), ("Changed", ""), ("PSNR (dB) ↑", "measured"), ("LPIPS ↓", "measured")]
    return displayed(columns, [["measured", "BRIGHT", *row] for row in rows], seeded)


def test_of_ablations_it_says_what_each_gains_and_loses_significantly() -> None:
    first = (FIRST_ROW, "24.60 ± 0.10", "0.0150 ± 0.0005")
    noise = ("code_noise none", "25.97 ± 0.10", "0.0250 ± 0.0005")
    tables = ("features mlp", "24.65 ± 0.20", "0.0149 ± 0.0005")
    told = paragraph(ablations(first, noise, tables))
    assert told.startswith(
        "code_noise none: better in PSNR (dB) by 1.37 [1.37, 1.37]. code_noise none: worse in LPIPS by 0.0100"
        " [0.0100, 0.0100]. features mlp: no significant difference from the first row. Brackets are 95% intervals"
    )  # compared seed by seed: the made-up seeds differ by equal amounts
    # Nothing is said where a number or an interval is missing; with one seed the best two are named.
    not_yet = ("features mlp", "missing", "0.0149 ± 0.0005")
    assert paragraph(ablations((FIRST_ROW, "24.60 ± 0.10", ""), not_yet)) == ""
    told = paragraph(ablations((FIRST_ROW, "24.60", ""), ("code_noise none", "24.97", ""), seeded=False))
    assert told == (
        "PSNR (dB): BRIGHT, code_noise none (24.97), then BRIGHT, (the first row) (24.60); no interval is known."
    )


def test_a_labelled_ablation_is_named_by_its_label_and_compared_by_its_keys() -> None:
    rows = [(FIRST_ROW, "24.60 ± 0.10", ""), ("without noise", "25.97 ± 0.10", "")]
    table = replace(ablations(*rows), changes=[FIRST_ROW, "code_noise none"])
    assert paragraph(table).startswith("without noise: better in PSNR (dB) by 1.37 [1.37, 1.37].")
    of_one_seed = replace(table, seeded=False)
    assert paragraph(of_one_seed).startswith("PSNR (dB): BRIGHT, without noise (25.97) leads BRIGHT, (the first row)")


def test_a_long_list_of_changed_keys_is_shortened_and_a_long_sentence_is_two() -> None:
    keys = ", ".join(f"a_section.another_section.a_key_with_a_long_name_{number} 0.123456789" for number in range(9))
    long = ablations((FIRST_ROW, "24.60 ± 0.10", ""), (keys, "24.00 ± 0.10", ""))
    assert max(map(len, paragraph(long).split(". "))) < 250 and "and 7 more: worse" in paragraph(long)
    two = paragraph(ablations((keys, "25.97", ""), (keys.replace("9", "8"), "24.00", ""), seeded=False))
    assert max(map(len, two.split(". "))) < 250 and ". Then BRIGHT" in two


def test_the_headline_is_sentences_with_two_methods_at_most(tmp_path) -> None:
    sets = [["measured", f"LDM (codes of {name})", f"{number}"] for name, number in NAMES.items()]
    columns = [("Source", ""), ("Method", ""), ("FD ↓", "measured")]
    generation = displayed(columns, [*sets, ["measured", REAL, "1.5"]], seeded=False)
    sentence, numbers = headline({"table2": table(BRIGHT, KL), "table5": generation}, None)
    assert sentence == (
        "BRIGHT 8x8x4 reconstructs  with PSNR 26.63 dB, LPIPS 0.0080 and Encoder (M) 1.0."
        f" Images generated by LDM (codes of KL autoencoder) reach FD 24.6 ({REAL}: 1.5)."
    )
    assert [number.label for number in numbers][:2] == ["PSNR (dB), higher is better", "LPIPS, lower is better"]
    spread = table(("BRIGHT", "26.63 ± 5.00", ""), seeded=False)
    assert headline({"table2": spread}, None)[1][0].beside == "± 5.00, two standard deviations over images"


def test_a_sentence_has_at_most_250_characters_and_two_rows() -> None:
    rows = [(f"LDM (codes of {name})", f"{number} ± 0.11", f"{number / 1000} ± 0.01") for name, number in NAMES.items()]
    for sentence in paragraph(table(*rows)).removesuffix(".").split(". "):
        assert len(sentence) < 250
        assert sum(f"codes of {name})" in sentence for name in NAMES) in (0, 2)
