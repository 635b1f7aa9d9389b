"""Measured rows beside published ones: numbers as printed, a difference only where the protocols are equal."""

import hashlib
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.config.root import read_config
from bright_pipeline.evaluation.metrics import metric_settings
from bright_pipeline.settings.tables import TABLES
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import prepared
from bright_pipeline.stages.evaluation import spaces
from bright_pipeline.stages.tables import tables
from bright_pipeline.tables.build import BOTH, MEASURED, PUBLISHED
from bright_pipeline.tables.pairing import IMAGE_SETS, RESOLUTION, read_published
from bright_pipeline.tables.render import to_markdown
from built_tables import PUBLISHED_FOLDER, Built, csv_rows, differences, published_csv, row_named
from made_summaries import church, complexity, ffhq, reconstruction, row_of


def test_no_published_number_or_claim_has_changed() -> None:
    """After a change on purpose: compare the file with the paper again, then run sha256sum."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in PUBLISHED_FOLDER.iterdir()]
    assert sorted(lines) == sorted(Path(__file__).with_name("published.sha256").read_text().splitlines())


def test_every_published_row_is_of_images_whose_protocol_is_known() -> None:
    for name, layout in TABLES.items():
        rows = read_published(PUBLISHED_FOLDER, name, layout)
        assert bool(rows) == layout.in_paper == (PUBLISHED_FOLDER / f"{name}.csv").is_file()
        assert {row["dataset"] for row in rows if "dataset" in row} <= IMAGE_SETS.keys()


@pytest.mark.parametrize("name", [name for name, layout in TABLES.items() if layout.in_paper])
def test_published_numbers_keep_their_decimals(name: str, built: Built) -> None:
    table = built(name)
    rows = csv_rows(table)
    assert len(rows) == len(published_csv(name))
    markdown = to_markdown(table)
    for row, printed in zip(rows, published_csv(name), strict=True):
        assert (row["source"], row["protocol"]) == (PUBLISHED, "as published")
        for quantity in table.entry.quantities:
            if quantity.is_published:
                assert row[f"{quantity.key}_published"] == printed.get(quantity.key, "")
            if quantity.is_published and printed.get(quantity.key):
                assert re.search(rf"[ |]{re.escape(printed[quantity.key])}[ |]", markdown)


def test_matching_row_shows_the_difference_in_the_published_row_and_a_second_one_below(built: Built) -> None:
    variant = church("r1", "64x64x4", adversarial="logistic_r1")
    table = built("table2", variant, church("c64", "64x64x4"), reconstruction("main"))
    row, other, demo = (row_named(table, name) for name in ("c64", "r1", "main"))
    assert (row["source"], row["psnr_published"]) == (BOTH, "26.34")
    assert differences(row).keys() == {"lpips_difference", "ssim_difference", "psnr_difference"}
    assert Decimal(row["psnr_difference"]) == Decimal("23.8123456") - Decimal("26.34")
    assert "−2.53" in to_markdown(table)
    assert (other["source"], other["psnr_published"]) == (MEASURED, "")
    assert other["method"] == "BRIGHT (logistic adversarial loss)"
    assert differences(other) and "compared with the published BRIGHT 64x64x4" in other["notes"]
    assert (demo["dataset"], demo["lpips_published"], demo["lpips_measured"]) == ("fashion_mnist", "", "0.02154321")
    assert len(csv_rows(table)) == 10 and not differences(demo)
    alone = built("table2", reconstruction("main"))
    assert [row["source"] for row in csv_rows(alone)] == [MEASURED] + [PUBLISHED] * 8
    assert "No row has a difference" in to_markdown(alone) and "difference |" not in to_markdown(alone)


def test_table4_needs_the_papers_number_of_training_images(built: Built) -> None:
    as_paper = church("with", "32x32x4", train_images=800_000)
    without = church("without", "32x32x4", train_images=800_000, code_noise="none")
    table = built("table4", as_paper, without, church("short", "32x32x4", train_images=1000))
    assert row_named(table, "with")["method"] == "BRIGHT (with noise)"
    assert row_named(table, "without")["method"] == "BRIGHT (without noise)"
    assert differences(row_named(table, "with")) and differences(row_named(table, "without"))
    assert not differences(row_named(table, "short"))


def test_generation_difference_needs_a_code_size_and_generated_images(built: Built) -> None:
    unknown_code = ffhq("a", "inception", code_size=None)
    real = ffhq("a", "inception", sample_kind="real", method="Real images (train)")
    told_by_row = {"rows": [{"name": "a", "code_size": "64x64x4"}]}
    for summary, rows, source in (
        (unknown_code, {}, MEASURED),
        (unknown_code, told_by_row, BOTH),
        (real, {}, MEASURED),
    ):
        assert row_named(built("table5", summary, **rows), "a")["source"] == source
    row = row_named(built("text_10k", ffhq("a", "inception", protocol={"count": 10_240})), "a")
    assert (row["fid_published"], row["samples"]) == ("8.47", "10240")


LANCZOS = "center crop, Pillow lanczos, to 256"
CROPPED = "center crop, Pillow bicubic, to 256"


@pytest.mark.parametrize(
    ("traits", "protocol", "row", "told"),
    [
        ({"feature_size": 32}, {}, {}, "feature_size 32 (published 64)"),
        ({"key_length": 2}, {}, {}, "key_length 2 (published 1)"),
        ({"code_noise": "none"}, {}, {}, "code_noise none (published after_tiling)"),
        ({"code_size": "64x64x8"}, {}, {}, ""),
        ({"ablation": "no tables"}, {}, {}, "ablation no tables (published none)"),
        ({}, {"count": 1000}, {}, "count 1000 (published 300)"),
        ({"resolution": 64}, {"resolution": 64}, {"resolution": 64}, "resolution 64 (published 256)"),
        ({}, {}, {"prepared": LANCZOS}, f"prepared {LANCZOS} (published {CROPPED})"),
        ({}, {}, {"prepared": None}, f"prepared unknown (published {CROPPED})"),
        ({}, {}, {"dataset": "churches"}, ""),
    ],
)
def test_a_reconstruction_of_other_images_or_models_stands_on_its_own_line_and_says_why(
    traits: dict[str, Any], protocol: dict[str, Any], row: dict[str, Any], told: str, built: Built
) -> None:
    summary = church("c", **{"code_size": "64x64x4"} | traits, protocol=protocol)
    table = built("table2", summary, rows=[row_of(summary) | row])
    made = row_named(table, "c")
    assert made["source"] == MEASURED and not any(map(differences, csv_rows(table)))
    if told:
        assert made["notes"] == f"not compared with the published BRIGHT 64x64x4: {told}"
        assert told in to_markdown(table)


def test_a_difference_needs_the_papers_split_and_for_counts_its_resolution(built: Built) -> None:
    row = row_named(built("table2", church("c", "64x64x4", protocol={"reference": "test"})), "c")
    assert not differences(row)
    assert "PSNR (dB): no difference shown: reference test (published validation)" in row["notes"]
    small = complexity("c", "lsun_church256", "64x64x4", resolution=64)
    row = row_named(built("table3", small, rows=[row_of(small) | {"resolution": 64}]), "c")
    assert row["source"] == MEASURED and not differences(row)
    ablation = complexity("c", "lsun_church256", "64x64x4", ablation="no tables")
    assert row_named(built("table3", ablation), "c")["source"] == MEASURED


@pytest.mark.parametrize(
    ("table", "changes", "kept"),
    [
        ("table5", {}, {"fid", "clip_fid", "is", "precision", "recall", "f1"}),
        ("table6", {}, {"fid", "clip_fid", "is", "precision", "recall", "f1"}),
        ("table5", {"reference": "validation"}, {"is"}),
        ("table5", {"reference_count": 10_000}, {"is"}),
        ("table5", {"precision_recall": "torch_fidelity"}, {"fid", "clip_fid", "is"}),
        ("table5", {"count": 10_240}, set()),
    ],
)
def test_the_papers_protocol_is_subtracted(table: str, changes: dict[str, Any], kept: set[str], built: Built) -> None:
    dataset = "ffhq256" if table == "table5" else "lsun_church256"
    summaries = [samples(space, dataset, **changes) for space in ("inception", "clip", "vgg16")]
    row = row_named(built(table, *summaries), "s")
    assert {key.removesuffix("_difference") for key in differences(row)} == kept
    assert all(f"{key} {value} (published " in row["notes"] for key, value in changes.items())
    assert changes or row["source"] == BOTH


def samples(space: str, dataset: str = "ffhq256", **protocol: Any) -> dict[str, Any]:
    """BRIGHT's samples in one space, by the paper's protocol but for the changes."""
    reference = {"reference_count": IMAGE_SETS[dataset].train}
    return ffhq("s", space, dataset=dataset, protocol=reference | protocol)


@pytest.mark.parametrize(
    ("dataset", "row", "source"),
    [
        ("ffhq256", {"resolution": 128}, MEASURED),
        ("ffhq256", {"resolution": None}, MEASURED),
        ("ffhq256", {"prepared": "center crop, Pillow box, to 256"}, BOTH),  # the paper names no filter for FFHQ
        ("lsun_church256", {"resolution": 128}, MEASURED),
        ("lsun_church256", {"prepared": LANCZOS}, MEASURED),
        ("lsun_church256", {"prepared": "uncropped, Pillow bicubic, to 256"}, MEASURED),
    ],
)
def test_samples_prepared_otherwise_stand_apart(dataset: str, row: dict[str, Any], source: str, built: Built) -> None:
    table = "table5" if dataset == "ffhq256" else "table6"
    reference = {"reference_prepared": row["prepared"]} if "prepared" in row else {}
    summary = samples("inception", dataset, **reference)
    made = row_named(built(table, summary, rows=[row_of(summary) | row]), "s")
    assert made["source"] == source and bool(differences(made)) == (source == BOTH)
    other = samples("inception", dataset, reference_prepared="as they are")
    with pytest.raises(InputError, match=r"summaries of 's': prepared is .* in one and 'as they are' in another"):
        built(table, other)


def test_the_papers_config_prepares_and_measures_as_the_published_numbers_need() -> None:
    config = read_config(Path(__file__).parents[2] / "config" / "paper.yaml")
    assert config.datasets.keys() == IMAGE_SETS.keys()
    for name, known in IMAGE_SETS.items():
        dataset = config.datasets[name]
        assert dataset.resolution == RESOLUTION and dataset.expected is not None
        assert (dataset.expected.train, dataset.expected.validation) == (known.train, known.validation)
        assert known.prepared in (None, prepared(dataset))
    assert (config.evaluation.reference, config.evaluation.reference_count) == ("train", None)
    plan = Jobs(config, every_network=True)
    assert plan(spaces, "vgg16") == ("vgg16_paper",)
    taken = {job.settings["space"] for job in plan(tables)["table5"].upstream}
    assert taken == {"inception", "inception_clean", "clip", "vgg16_paper"}
    assert metric_settings("vgg16_paper")["precision_recall"] == "paper_repository"
