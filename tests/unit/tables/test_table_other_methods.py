"""Other methods, measured by us, beside their published rows."""

from typing import Any

import pytest
from made_summaries import Built, church, complexity, differences, ffhq, reconstruction, row_named

from pipeline.tables.build import BOTH, COUNTED, MEASURED


@pytest.mark.parametrize("sample_kind", ["files", "diffusion"])
@pytest.mark.parametrize(("method", "fid"), [("StyleGAN2", "4.16"), ("LDM", "4.98"), ("ImageBART", "10.81")])
def test_measured_samples_of_another_method_stand_beside_its_published_row(
    method: str, fid: str, sample_kind: str, built: Built
) -> None:
    files = {"sample_kind": sample_kind, "method": method, "code_size": None}
    summaries = [ffhq("theirs", network, **files) for network in ("inception", "vgg16")]
    row = row_named(built("table5", *summaries), "theirs")
    assert (row["source"], row["method"], row["fid_published"]) == (BOTH, method, fid)
    assert float(row["fid_difference"]) == pytest.approx(538.987 - float(fid))
    assert row["protocol"] == "as published; measured on 50000 samples"
    if method == "StyleGAN2":
        assert float(row["precision_difference"]) == pytest.approx(0.71234 - 0.71)
        assert "is_difference" not in differences(row), "the paper prints no IS of StyleGAN2"


def test_another_number_of_samples_or_another_dataset_is_not_subtracted(built: Built) -> None:
    files: dict[str, Any] = {"sample_kind": "files", "method": "StyleGAN2", "code_size": None}
    few = row_named(built("table5", ffhq("few", "inception", protocol={"count": 10_000}, **files)), "few")
    assert few["source"] == MEASURED and not differences(few)
    assert "count 10000 (published 50000)" in few["notes"]
    other = row_named(built("table5", ffhq("other", "inception", **(files | {"dataset": "mine"}))), "other")
    assert other["source"] == MEASURED and not differences(other)


def test_bright_and_another_method_share_a_table(built: Built) -> None:
    theirs = ffhq("theirs", "inception", sample_kind="files", method="StyleGAN2", code_size=None)
    table = built("table5", ffhq("ours", "inception"), theirs)
    assert [row_named(table, name)["method"] for name in ("ours", "theirs")] == ["BRIGHT", "StyleGAN2"]


WITHOUT_KEY_CODES: dict[str, Any] = dict.fromkeys(("key_length", "feature_size", "code_noise", "adversarial"))
WITHOUT_TABLES = {"hash_tables.ngp": None, "hash_tables.tcnn": None}


def test_measured_first_stages_stand_beside_their_published_rows(built: Built) -> None:
    vqgan = church("vqgan", "32x32", method="VQGAN", **WITHOUT_KEY_CODES)
    row = row_named(built("table2", vqgan, church("bright", "32x32x4")), "vqgan")
    assert (row["source"], row["method"], row["psnr_published"]) == (BOTH, "VQGAN", "19.81")
    assert float(row["psnr_difference"]) == pytest.approx(23.8123456 - 19.81)
    counts = complexity("vqgan", "ffhq256", "16x16", WITHOUT_TABLES, method="VQGAN", **WITHOUT_KEY_CODES)
    row = row_named(built("table3", counts), "vqgan")
    assert (row["source"], row["decoder_params_millions_published"]) == (COUNTED, "42.5")
    assert row["hash_table_params_millions_measured_ngp"] == "" and row["decoder_params_millions_measured"]
    assert row["missing"] == ""
    few, all_images = (
        reconstruction("rq", "ffhq256", count, method="RQ-VAE", code_size="16x16x4", **WITHOUT_KEY_CODES)
        for count in (1000, 10_000)
    )
    assert row_named(built("table2", all_images), "rq")["psnr_published"] == "24.53"
    row = row_named(built("table2", few), "rq")
    assert row["source"] == MEASURED and "count 1000 (published 10000)" in row["notes"]
