"""The whole workflow on the tiny config: every table and figure, and where people find them."""

import json

import pandas as pd
import pytest
from tiny_workflow import Workflow

TABLES = ["table2", "table3", "table4", "table5", "table6", "table7", "table8", "text_10k"]
FIGURES = ["fig01", "fig05b", "fig06", "fig07", "fig08", "fig09", "fig10", "fig11"]
FIGURES += ["curves_autoencoders", "curves_diffusion", "interpolation", "resolutions", "groups"]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_measured_rows_in_three_formats(tiny_run: Workflow, table: str) -> None:
    folder = tiny_run.folder / "results" / "tiny" / "tables"
    frame = pd.read_csv(folder / f"{table}.csv")
    assert (frame["source"].str.lower() == "measured").any()
    assert (folder / f"{table}.md").read_text().startswith("# ")
    assert "tabular" in (folder / f"{table}.tex").read_text()


def test_the_papers_claims_are_recomputed_from_the_tables_of_the_run(tiny_run: Workflow) -> None:
    frame = pd.read_csv(tiny_run.folder / "results" / "tiny" / "tables" / "claims.csv")
    assert {"holds", "does not hold"} <= set(frame["verdict_published"])
    noise = frame[frame["says"] == "PSNR higher with noise"].iloc[0]
    assert (noise["ours_row_measured"], noise["other_row_measured"]) == ("main", "without-noise")


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_is_there(tiny_run: Workflow, figure: str) -> None:
    picture = tiny_run.folder / "results" / "tiny" / "figures" / f"{figure}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_image_sets_are_scored_by_the_network_that_is_there_and_the_others_are_reported_missing(
    tiny_run: Workflow,
) -> None:
    text = (tiny_run.folder / "results" / "tiny" / "tables" / "table5.md").read_text()
    for network in ("inception", "clip", "vgg16"):
        assert f"network {network} is missing" in text
    metrics = json.loads((tiny_run.folder / "results" / "tiny" / "metrics.json").read_text())
    assert set(metrics["generation"]) == {"main", "gaussian", "real"}
    assert metrics["generation"]["main"].keys() == {"efficientnet_lite0"}


def test_no_temporary_file_is_left(tiny_run: Workflow) -> None:
    left = [path for path in (tiny_run.folder / "results").rglob("*") if "partial" in path.name]
    assert left == []


def test_everything_in_the_store_is_named_by_the_digest_of_a_recorded_identity(tiny_run: Workflow) -> None:
    results = tiny_run.folder / "results"
    recorded = {path.stem.rsplit("-", 1)[-1] for path in (results / "identities").glob("*.json")}
    stored = {folder.name.rsplit("-", 1)[-1] for folder in (results / "store").glob("*/*")}
    assert stored == recorded


def test_logs_and_saved_states_lie_outside_the_store(tiny_run: Workflow) -> None:
    results = tiny_run.folder / "results"
    assert {path.parent.name for path in (results / "logs").rglob("*.log")} == {"logs"}
    saved = {path.name.rsplit("-", 1)[0] for path in (results / "work").iterdir() if path.is_dir()}
    assert saved == {"train_autoencoder", "train_diffusion"}
