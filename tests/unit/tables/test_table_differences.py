"""A difference to a published number only where all that the paper's protocol fixes is the paper's."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from made_summaries import Built, church, complexity, csv_rows, differences, ffhq, row_named, row_of, with_protocol

from pipeline.base.errors import InputError
from pipeline.config.root import load_config, read_config
from pipeline.evaluation.metrics import metric_settings
from pipeline.stages.common import Jobs
from pipeline.stages.datasets import prepared
from pipeline.stages.evaluation import spaces
from pipeline.stages.tables import tables
from pipeline.tables.build import BOTH, MEASURED
from pipeline.tables.pairing import IMAGE_SETS, RESOLUTION

CONFIG = Path(__file__).parents[3] / "config"
LANCZOS = "center crop, Pillow lanczos, to 256"
UNCROPPED = "uncropped, Pillow bicubic, to 256"


def test_a_reconstruction_of_the_papers_protocol_is_subtracted(built: Built) -> None:
    row = row_named(built("table2", church("c", "64x64x4")), "c")
    assert row["source"] == BOTH and differences(row).keys() == {
        "lpips_difference",
        "ssim_difference",
        "psnr_difference",
    }


@pytest.mark.parametrize(
    ("changes", "row", "told"),
    [
        ({"count": 1000}, {}, "count 1000 (published 300)"),
        ({"resolution": 64}, {"resolution": 64}, "resolution 64 (published 256)"),
        ({}, {"prepared": LANCZOS}, f"prepared {LANCZOS} (published center crop, Pillow bicubic, to 256)"),
        ({}, {"prepared": UNCROPPED}, f"prepared {UNCROPPED} (published center crop, Pillow bicubic, to 256)"),
        ({}, {"prepared": None}, "prepared unknown (published center crop, Pillow bicubic, to 256)"),
    ],
)
def test_a_church_of_other_images_stands_on_its_own_line_and_says_why(
    changes: dict[str, Any], row: dict[str, Any], told: str, built: Built
) -> None:
    summary = with_protocol(church("c", "64x64x4"), **changes)
    made = row_named(built("table2", summary, rows=[row_of(summary) | row]), "c")
    assert made["source"] == MEASURED and not differences(made)
    assert made["notes"] == f"not compared with the published BRIGHT 64x64x4: {told}"


def test_a_reconstruction_of_another_split_has_no_difference(built: Built) -> None:
    made = row_named(built("table2", with_protocol(church("c", "64x64x4"), reference="test")), "c")
    assert (
        not differences(made)
        and "PSNR (dB): no difference shown: reference test (published validation)" in made["notes"]
    )


def samples(space: str, dataset: str = "ffhq256", **protocol: Any) -> dict[str, Any]:
    """BRIGHT's samples in one space, by the paper's protocol but for the changes."""
    reference = {"reference_count": IMAGE_SETS[dataset].train}
    return ffhq("s", space, dataset=dataset, protocol=reference | protocol)


@pytest.mark.parametrize(("table", "dataset"), [("table5", "ffhq256"), ("table6", "lsun_church256")])
def test_samples_of_the_papers_protocol_are_subtracted(table: str, dataset: str, built: Built) -> None:
    row = row_named(built(table, *[samples(space, dataset) for space in ("inception", "clip", "vgg16")]), "s")
    assert row["source"] == BOTH
    assert {key.removesuffix("_difference") for key in differences(row)} == {
        "fid",
        "clip_fid",
        "is",
        "precision",
        "recall",
        "f1",
    }


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"reference": "validation"}, {"is"}),
        ({"reference_count": 10_000}, {"is"}),
        ({"precision_recall": "torch_fidelity"}, {"fid", "clip_fid", "is"}),
        ({"count": 10_240}, set()),
    ],
)
def test_a_metric_taken_otherwise_has_no_difference(changes: dict[str, Any], kept: set[str], built: Built) -> None:
    row = row_named(built("table5", *[samples(space, **changes) for space in ("inception", "clip", "vgg16")]), "s")
    assert {key.removesuffix("_difference") for key in differences(row)} == kept
    (key, value), *_ = changes.items()
    assert f"{key} {value} (published " in row["notes"]


@pytest.mark.parametrize(
    ("dataset", "row", "source"),
    [
        ("ffhq256", {"resolution": 128}, MEASURED),
        ("ffhq256", {"resolution": None}, MEASURED),
        ("ffhq256", {"prepared": "center crop, Pillow box, to 256"}, BOTH),  # the paper names no filter for FFHQ
        ("lsun_church256", {"resolution": 128}, MEASURED),
        ("lsun_church256", {"prepared": LANCZOS}, MEASURED),
        ("lsun_church256", {"prepared": UNCROPPED}, MEASURED),
    ],
)
def test_samples_of_images_prepared_otherwise_stand_on_their_own_line(
    dataset: str, row: dict[str, Any], source: str, built: Built
) -> None:
    reference = {"reference_prepared": row["prepared"]} if "prepared" in row else {}
    summary = samples("inception", dataset, **reference)
    table = built("table5" if dataset == "ffhq256" else "table6", summary, rows=[row_of(summary) | row])
    made = row_named(table, "s")
    assert made["source"] == source and bool(differences(made)) == (source == BOTH)


def test_reference_images_prepared_otherwise_than_the_row_says_stop(built: Built) -> None:
    summary = samples("inception", reference_prepared="as they are")
    with pytest.raises(InputError, match=r"summaries of 's': prepared is .* in one and 'as they are' in another"):
        built("table5", summary)


def test_counts_at_another_resolution_have_no_difference(built: Built) -> None:
    small = complexity("c", "lsun_church256", "64x64x4", resolution=64)
    row = row_named(built("table3", small, rows=[row_of(small) | {"resolution": 64}]), "c")
    assert row["source"] == MEASURED and not differences(row)


def test_a_renamed_dataset_is_not_the_papers(built: Built) -> None:
    summary = church("c", "64x64x4")
    table = built("table2", summary, rows=[row_of(summary) | {"dataset": "churches"}])
    assert row_named(table, "c")["dataset"] == "churches" and not any(map(differences, csv_rows(table)))


def test_the_papers_config_prepares_its_datasets_as_the_published_numbers_need() -> None:
    path = CONFIG / "paper.yaml"
    config = load_config(yaml.safe_load(path.read_text()), str(path))
    assert config.datasets.keys() == IMAGE_SETS.keys()
    for name, known in IMAGE_SETS.items():
        dataset = config.datasets[name]
        assert dataset.resolution == RESOLUTION and dataset.expected is not None
        assert (dataset.expected.train, dataset.expected.validation) == (known.train, known.validation)
        assert known.prepared in (None, prepared(dataset))
    assert (config.evaluation.reference, config.evaluation.reference_count) == ("train", None)


def test_the_papers_config_takes_precision_and_recall_as_the_paper_does() -> None:
    plan = Jobs(read_config(CONFIG / "paper.yaml"), every_network=True)
    assert plan(spaces, "vgg16") == ("vgg16_paper",)
    taken = {job.settings["space"] for job in plan(tables)["table5"].upstream}
    assert taken == {"inception", "inception_clean", "clip", "vgg16_paper"}
    assert metric_settings("vgg16_paper")["precision_recall"] == "paper_repository"
