"""The tables: published numbers as printed, measured ones beside them, a difference only between equals."""

import csv
import io
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.make_table import make_table
from pipeline.tables.build import BOTH, COUNTED, MEASURED, PUBLISHED, Table, build_table
from pipeline.tables.display import rounded
from pipeline.tables.job import TableJob
from pipeline.tables.layout import LAYOUTS
from pipeline.tables.measured import NamedSummary
from pipeline.tables.render import escape_latex, to_csv, to_latex, to_markdown

PUBLISHED_FOLDER = Path(__file__).parents[2] / "config" / "published"
Write = Callable[..., Path]


def reconstruction(name: str, **changes: Any) -> dict[str, Any]:
    """A made-up reconstruction summary of the demo's kind."""
    return {
        "kind": "reconstruction",
        "dataset": "fashion_mnist",
        "method": "BRIGHT",
        "autoencoder": name,
        "code_size": "8x8x4",
        "key_length": 1,
        "feature_size": 16,
        "code_noise": "after_tiling",
        "adversarial": "wgan_gp",
        "train_images": 20_000,
        "count": 1000,
        "metrics": {
            "lpips_alex": {"mean": 0.02154321, "std": 0.0131},
            "lpips_vgg": {"mean": 0.1234567, "std": 0.0231},
            "ssim": {"mean": 0.8271234, "std": 0.0831},
            "psnr": {"mean": 23.8123456, "std": 2.1234567},
        },
        "protocol": {
            "count": 1000,
            "lpips_alex_sha256": "a" * 64,
            "lpips_vgg_sha256": "b" * 64,
            "lpips": "0.1, at the images' own resolution",
            "ssim": "Gaussian window 11",
            "versions": {"torch": "2.13"},
        },
    } | changes


def church(name: str, code_size: str, **changes: Any) -> dict[str, Any]:
    """A made-up reconstruction summary that matches Church's published rows."""
    values = reconstruction(name, dataset="lsun_church256", code_size=code_size, feature_size=64, count=300)
    values["protocol"] = {**values["protocol"], "count": 300}
    return values | changes


def complexity(name: str, dataset: str, code_size: str, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "complexity",
        "autoencoder": name,
        "dataset": dataset,
        "method": "BRIGHT",
        "code_size": code_size,
        "key_length": 1,
        "feature_size": 64,
        "hash_table_params": {"ngp": 10_607_648, "tcnn": 10_138_048},
        "decoder_params": 9_612_345,
        "encoder_params": 3_000_000,
        "gmacs": {"paper_rule": 63.397632, "true": 67.9},
        "convention": "tcnn",
    } | changes


def generation(name: str, network: str, **changes: Any) -> dict[str, Any]:
    """A made-up evaluation of the demo's samples in one network's features."""
    protocol = {
        "count": 1000,
        "reference": "validation",
        "reference_count": 1000,
        "reference_sha256": "c" * 64,
        "network": network,
        "network_sha256": "d" * 64,
        "resize": "bicubic 112",
        "seed": 3,
        "versions": {"torch": "2.13"},
    } | changes.pop("protocol", {})
    return {
        "kind": "generation",
        "samples": name,
        "sample_kind": "diffusion",
        "dataset": "fashion_mnist",
        "method": "BRIGHT (LDM)",
        "network": network,
        "metrics": {
            "frechet_distance": 538.987,
            "score_mean": 3.456,
            "score_std": 0.078,
            "precision": 0.71234,
            "recall": 0.51234,
            "f1": 0.596,
        },
        "protocol": protocol,
    } | changes


def ffhq(name: str, network: str, **changes: Any) -> dict[str, Any]:
    """A made-up evaluation that matches Table 5's BRIGHT row."""
    protocol = {"count": 50_000, "reference": "train", "reference_count": 60_000} | changes.pop("protocol", {})
    changes = {"dataset": "ffhq256", "code_size": "64x64x4"} | changes
    return generation(name, network, protocol=protocol, **changes)


@pytest.fixture
def built(tmp_path: Path) -> Callable[..., Table]:
    """Build a table from made-up summaries; rows are named by the summaries unless given."""

    def build(table: str, *summaries: dict[str, Any], **job: Any) -> Table:
        named = []
        for index, summary in enumerate(summaries):
            path = tmp_path / f"{index}.json"
            path.write_text(json.dumps(summary))
            named.append(NamedSummary(summary.get("autoencoder") or summary["samples"], path))
        names = dict.fromkeys(summary.row for summary in named)
        rows = job.pop("rows", [{"name": name} for name in names])
        settings = TableJob.model_validate({"table": table, "run": "demo", "rows": rows, **job})
        return build_table(settings, named, PUBLISHED_FOLDER)

    return build


def published_csv(table: str) -> list[dict[str, str]]:
    with (PUBLISHED_FOLDER / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def csv_rows(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def row_named(table: Table, name: str) -> dict[str, str]:
    [row] = [row for row in csv_rows(table) if row["name"] == name]
    return row


def differences(row: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in row.items() if key.endswith("_difference") and value}


@pytest.mark.parametrize("name", LAYOUTS)
def test_published_numbers_keep_their_decimals(name: str, built: Callable[..., Table]) -> None:
    table = built(name)
    rows = csv_rows(table)
    assert len(rows) == len(published_csv(name))
    markdown = to_markdown(table)
    for row, printed in zip(rows, published_csv(name), strict=True):
        assert (row["source"], row["protocol"]) == (PUBLISHED, "as published")
        for quantity in table.layout.quantities:
            if quantity.published:
                assert row[f"{quantity.key}_published"] == printed.get(quantity.published, "")
            if quantity.published and printed.get(quantity.published):
                assert re.search(rf"[ |]{re.escape(printed[quantity.published])}[ |]", markdown)


def test_demo_row_subtracts_nothing_from_published_rows(built: Callable[..., Table]) -> None:
    table = built("table2", reconstruction("main"))
    rows = csv_rows(table)
    assert [row["source"] for row in rows] == [PUBLISHED] * 8 + [MEASURED]
    assert not any(differences(row) for row in rows)
    demo = row_named(table, "main")
    assert demo["dataset"] == "fashion_mnist"
    assert demo["lpips_published"] == "" and float(demo["lpips_measured"]) == 0.02154321
    assert "No difference is shown" in to_markdown(table)
    assert "difference |" not in to_markdown(table)
    assert "fashion_mnist" in to_markdown(table).splitlines()[0]


def test_matching_row_shows_the_difference_in_the_published_row(built: Callable[..., Table]) -> None:
    table = built("table2", church("c64", "64x64x4"), reconstruction("main"))
    row = row_named(table, "c64")
    assert (row["source"], row["psnr_published"]) == (BOTH, "26.34")
    assert Decimal(row["psnr_difference"]) == Decimal("23.8123456") - Decimal("26.34")
    assert len(csv_rows(table)) == 9
    assert "−2.53" in to_markdown(table)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"count": 200, "protocol": {}}, "count 200 (published 300)"),
        ({"feature_size": 32}, "feature_size 32 (published 64)"),
        ({"key_length": 2}, "key_length 2 (published 1)"),
        ({"code_noise": "none"}, "code_noise none (published after_tiling)"),
        ({"code_size": "64x64x8"}, "code_size 64x64x8 (published 64x64x4)"),
    ],
)
def test_what_differs_keeps_a_row_from_being_subtracted(
    change: dict[str, Any], told: str, built: Callable[..., Table]
) -> None:
    table = built("table2", church("c64", **{"code_size": "64x64x4"} | change))
    row = row_named(table, "c64")
    assert row["source"] == MEASURED and not differences(row)
    if "code_size" not in change:
        assert told in row["notes"] and told in to_markdown(table)


def test_table4_needs_the_papers_number_of_training_images(built: Callable[..., Table]) -> None:
    as_paper = church("with", "32x32x4", train_images=800_000)
    without = church("without", "32x32x4", train_images=800_000, code_noise="none")
    table = built("table4", as_paper, without, church("short", "32x32x4", train_images=1000))
    assert row_named(table, "with")["method"] == "BRIGHT (with noise)"
    assert row_named(table, "without")["method"] == "BRIGHT (without noise)"
    assert differences(row_named(table, "with")) and differences(row_named(table, "without"))
    assert not differences(row_named(table, "short"))


def test_second_match_of_a_published_row_stands_on_its_own_line(built: Callable[..., Table]) -> None:
    variant = church("r1", "64x64x4", adversarial="logistic_r1")
    table = built("table2", variant, church("paper", "64x64x4"))
    assert row_named(table, "paper")["source"] == BOTH
    other = row_named(table, "r1")
    assert other["source"] == MEASURED and other["psnr_published"] == ""
    assert other["method"] == "BRIGHT (logistic adversarial loss)"
    assert differences(other) and "compared with the published BRIGHT 64x64x4" in other["notes"]


def test_plus_minus_is_two_standard_deviations(built: Callable[..., Table]) -> None:
    table = built("table2", reconstruction("main"))
    row = row_named(table, "main")
    assert float(row["psnr_measured_std"]) == 2.1234567
    assert float(row["psnr_measured_two_std"]) == 2 * 2.1234567
    assert "23.81 ± 4.25" in to_markdown(table)
    assert r"23.81 $\pm$ 4.25" in to_latex(table)
    assert "14 ± 0.07" in to_markdown(table), "published spreads stay as printed"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"resize": "lanczos 112"}, "resize 'bicubic 112' and 'lanczos 112'"),
        ({"network_sha256": "e" * 64}, "network_sha256"),
        ({"reference_sha256": "f" * 64}, "reference_sha256"),
        ({"count": 500}, "count 1000 and 500"),
    ],
)
def test_two_protocols_in_one_column_stop(change: dict[str, Any], told: str, built: Callable[..., Table]) -> None:
    one, other = generation("a", "efficientnet_lite0"), generation("b", "efficientnet_lite0", protocol=change)
    with pytest.raises(InputError) as error:
        built("table5", one, other)
    assert told in str(error.value) and "'a' and 'b'" in str(error.value)
    assert "fashion_mnist" in str(error.value) and "\n" not in str(error.value)


def test_seeds_versions_and_datasets_may_differ_in_one_column(built: Callable[..., Table]) -> None:
    other_seed = generation("b", "efficientnet_lite0", protocol={"seed": 4, "versions": {"torch": "2.14"}})
    table = built("table5", generation("a", "efficientnet_lite0"), other_seed, ffhq("c", "efficientnet_lite0"))
    assert (table.frame["source"] != PUBLISHED).sum() == 3


def test_other_networks_hash_does_not_concern_a_metric(built: Callable[..., Table]) -> None:
    one, other = reconstruction("a"), reconstruction("b")
    other["protocol"] = {**other["protocol"], "lpips_vgg_sha256": "f" * 64}
    with pytest.raises(InputError, match=r"column LPIPS-VGG"):
        built("table2", one, other)
    del other["metrics"]["lpips_vgg"], one["metrics"]["lpips_vgg"]
    built("table2", one, {**other, "metrics": {**other["metrics"], "lpips_vgg": {"mean": 1.0, "std": 0.1}}})


def test_missing_network_says_what_to_put_where(built: Callable[..., Table]) -> None:
    note = "network clip is missing (CLIP-FID): put ViT-B-32.pt (from a server) into results/networks"
    named = "FID, IS: put weights-inception.pth into results/networks"
    table = built("table5", generation("main", "efficientnet_lite0"), missing=[note, named])
    row = row_named(table, "main")
    assert {"fid", "clip_fid", "is", "precision"} <= set(row["missing"].split("; "))
    assert row["fid_measured"] == "" and note in row["notes"] and named in row["notes"]
    assert float(row["fd_efficientnet_lite0_measured"]) == 538.987
    [line] = [line for line in to_markdown(table).splitlines() if line.startswith("| measured")]
    assert [cell.strip() for cell in line.split("|")].count("missing") == 6
    assert f"missing: {note}" in to_markdown(table) and f"missing: {named}" in to_markdown(table)
    assert "Precision, Recall, F1: missing: no summary made with the network vgg16" in to_markdown(table)
    assert "& missing &" in to_latex(table)


def test_row_whose_networks_are_all_missing_still_stands_in_the_table(built: Callable[..., Table]) -> None:
    table = built("table5", rows=[{"name": "main", "dataset": "ffhq256", "label": "BRIGHT (LDM)"}])
    assert row_named(table, "main")["missing"].startswith("fid; clip_fid; is")


def test_generation_difference_needs_count_reference_and_code_size(built: Callable[..., Table]) -> None:
    assert "fid_difference" in differences(row_named(built("table5", ffhq("a", "inception")), "a"))
    fewer = built("table5", ffhq("a", "inception", protocol={"count": 10_000}))
    assert row_named(fewer, "a")["source"] == MEASURED
    other = built("table5", ffhq("a", "inception", protocol={"reference_count": 70_000}))
    assert set(differences(row_named(other, "a"))) == {"is_difference"}
    assert "reference_count 70000 (published 60000)" in row_named(other, "a")["notes"]
    unknown_code = ffhq("a", "inception", code_size=None)
    assert row_named(built("table5", unknown_code), "a")["source"] == MEASURED
    told_by_row = built("table5", unknown_code, rows=[{"name": "a", "code_size": "64x64x4"}])
    assert row_named(told_by_row, "a")["source"] == BOTH
    real = ffhq("a", "inception", sample_kind="real", method="Real images (train)")
    assert row_named(built("table5", real), "a")["source"] == MEASURED


def test_text_numbers_match_10240_samples(built: Callable[..., Table]) -> None:
    table = built("text_10k", ffhq("a", "inception", protocol={"count": 10_240}))
    assert row_named(table, "a")["fid_published"] == "8.47"
    assert row_named(table, "a")["samples"] == "10240"


def test_counts_at_the_papers_sizes_stand_beside_the_published_ones(built: Callable[..., Table]) -> None:
    table = built(
        "table3",
        complexity("demo", "fashion_mnist", "8x8x4", decoder_params=312_345),
        complexity("c64", "lsun_church256", "64x64x4"),
        complexity("f16", "ffhq256", "16x16x8"),
        rows=[{"name": "demo"}],
    )
    row = row_named(table, "c64")
    assert row["source"] == COUNTED and row["hash_table_params_millions_published"] == "11.4"
    assert float(row["hash_table_params_millions_measured_ngp"]) == 10.607648
    assert float(row["hash_table_params_millions_measured_tcnn"]) == 10.138048
    assert float(row["hash_table_params_millions_difference"]) == pytest.approx(10.607648 - 11.4)
    assert float(row["decoder_gflops_difference"]) == pytest.approx(63.397632 - 63.40)
    assert float(row["decoder_gflops_measured_true_count"]) == 67.9
    assert row_named(table, "f16")["hash_table_params_millions_published"] == "21.2"
    assert not differences(row_named(table, "demo"))
    assert "0.312" in to_markdown(table), "a small model's counts keep their digits"


def test_counts_need_no_training_in_tables_7_and_8(built: Callable[..., Table]) -> None:
    longer_key = complexity("k2", "lsun_church256", "64x64x4", key_length=2)
    row = row_named(built("table7", longer_key), "k2")
    assert (row["hash_table_params_millions_published"], row["psnr_published"]) == ("30.5", "26.47")
    assert row["psnr_measured"] == "" and row["missing"] == ""
    small = complexity("h32", "lsun_church256", "32x32x8", feature_size=32)
    assert row_named(built("table8", small), "h32")["decoder_params_millions_published"] == "35.1"


def test_counts_stand_beside_published_ones_even_where_images_do_not_match(
    built: Callable[..., Table],
) -> None:
    few = church("c64", "64x64x4", count=100, protocol={})
    rows = csv_rows(built("table7", few, complexity("c64", "lsun_church256", "64x64x4")))
    assert [row["source"] for row in rows if row["name"] == "c64"] == [COUNTED, MEASURED]
    assert rows[0]["psnr_measured"] == "" and rows[0]["decoder_gflops_difference"]


SUMMARIES: dict[str, list[dict[str, Any]]] = {
    "table2": [reconstruction("main"), church("c", "32x32x8")],
    "table3": [complexity("main", "fashion_mnist", "8x8x4"), complexity("c", "ffhq256", "16x16x16")],
    "table4": [reconstruction("main"), reconstruction("plain", code_noise="none")],
    "table5": [
        generation("main", "efficientnet_lite0"),
        generation("gauss", "efficientnet_lite0", sample_kind="gaussian_codes", method="Gaussian codes"),
        generation("real", "efficientnet_lite0", sample_kind="real", method="Real images (train)"),
        ffhq("f", "inception"),
        ffhq("f", "clip"),
        ffhq("f", "vgg16"),
    ],
    "table6": [generation("main", "efficientnet_lite0"), ffhq("f", "inception", dataset="lsun_church256")],
    "table7": [
        reconstruction("main"),
        complexity("main", "fashion_mnist", "8x8x4", feature_size=16),
        complexity("c", "lsun_church256", "64x64x4"),
    ],
    "table8": [reconstruction("main"), complexity("main", "fashion_mnist", "8x8x4", feature_size=16)],
    "text_10k": [generation("main", "efficientnet_lite0")],
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_table_is_made_twice_alike_in_three_forms(name: str, built: Callable[..., Table], tmp_path: Path) -> None:
    built(name, *SUMMARIES[name])
    rows_of = [summary.get("autoencoder") or summary["samples"] for summary in SUMMARIES[name]]
    summaries = [f"{row}={tmp_path / f'{index}.json'}" for index, row in enumerate(rows_of)]
    names = dict.fromkeys(rows_of)
    settings = json.dumps({"table": name, "run": "demo", "rows": [{"name": n} for n in names]})
    made = []
    for turn in ("first", "second"):
        files = [tmp_path / turn / f"{name}.{suffix}" for suffix in ("csv", "md", "tex")]
        make_table(settings, summaries, csv=files[0], markdown=files[1], latex=files[2], published=PUBLISHED_FOLDER)
        made.append([file.read_bytes() for file in files])
    assert made[0] == made[1]
    text, markdown, latex = (content.decode() for content in made[0])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) >= len(published_csv(name)) + 1
    assert any(row["source"] == MEASURED and row["dataset"] == "fashion_mnist" for row in rows)
    assert markdown.startswith("# ") and "run demo" in markdown and "as published" in markdown
    assert_compiles_structurally(latex)


def assert_compiles_structurally(latex: str) -> None:
    """Braces and environments balance, rows have as many cells as columns, nothing is left unescaped."""
    bare = re.sub(r"\\[\\{}$&%#_]", "", latex.split("\n", 1)[1])
    assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
    environments: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", latex):
        if kind == "begin":
            environments.append(name)
        else:
            assert environments.pop() == name
    assert not environments
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", latex)
    body = re.search(r"\\midrule\n(.*)\\bottomrule", latex, re.DOTALL)
    assert columns and body and "\\toprule" in latex
    for line in body[1].strip().splitlines():
        assert line.endswith(r"\\") and len(re.findall(r"(?<!\\)&", line)) + 1 == len(columns[1])
    outside = re.sub(r"\$[^$]*\$|\\[a-z]+\*?(\{[^}]*\})*|\\_|%[^\n]*", "", latex)
    assert "_" not in outside and "^" not in outside
    assert not re.search(r"[±−↓↑]", latex)


def test_latex_escapes_what_latex_would_read() -> None:
    assert escape_latex("50% of a_b & c#1 {x} ~ ^ $") == (
        r"50\% of a\_b \& c\#1 \{x\} \textasciitilde{} \textasciicircum{} \$"
    )
    assert escape_latex("\\end") == r"\textbackslash{}end"


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_rounded_differs_by_at_most_half_a_last_digit(value: float, decimals: int) -> None:
    text = rounded(value, decimals).replace("−", "-")
    assert abs(Decimal(text) - Decimal(value)) <= Decimal(1).scaleb(-decimals) / 2
    assert len(text.partition(".")[2]) == decimals


def test_rounded_zero_has_no_sign() -> None:
    assert rounded(-0.001, 2) == "0.00"
    assert rounded(0.0106076, 1, 3) == "0.0106"
    assert rounded(10.6076, 1, 3) == "10.6"


@pytest.mark.parametrize(
    ("table", "summaries", "rows", "told"),
    [
        ("table2", [], [{"name": "main"}], "row 'main'"),
        (
            "table2",
            [reconstruction("x")],
            [{"name": "main", "dataset": "d"}],
            "'x' is none of the table's rows",
        ),
        ("table2", [complexity("main", "d", "8x8x4")], [{"name": "main"}], "kind complexity"),
        ("table2", [reconstruction("main")] * 2, [{"name": "main"}], "comes twice"),
        ("table2", [], [{"name": "a", "dataset": "d"}] * 2, "a name comes twice"),
        (
            "table7",
            [reconstruction("main"), complexity("main", "fashion_mnist", "8x8x8", feature_size=16)],
            [{"name": "main"}],
            "code_size is '8x8x4' in one and '8x8x8' in another",
        ),
        (
            "table2",
            [{**reconstruction("main"), "count": "many"}],
            [{"name": "main"}],
            "0.json: reconstruction.count",
        ),
    ],
)
def test_wrong_summaries_get_one_line(
    table: str, summaries: list[dict[str, Any]], rows: list[Any], told: str, built: Callable[..., Table]
) -> None:
    with pytest.raises(InputError) as error:
        built(table, *summaries, rows=rows)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_summaries_name_their_rows_on_the_command_line(tmp_path: Path, built: Callable[..., Table]) -> None:
    import typer
    from typer.testing import CliRunner

    built("table2", reconstruction("a"), reconstruction("b"))
    app = typer.Typer()
    app.command()(make_table)
    settings = json.dumps({"table": "table2", "run": "demo", "rows": [{"name": "a"}, {"name": "b"}]})
    arguments = [settings, f"a={tmp_path / '0.json'}", f"b={tmp_path / '1.json'}"]
    options = ["--published", str(PUBLISHED_FOLDER), "--print"]
    result = CliRunner().invoke(app, [*arguments, *options])
    assert result.exit_code == 0 and "# Table 2" in result.output
