"""The whole workflow on the tiny config: every table and figure, and where they are."""

import json
from pathlib import Path

import pandas as pd
import pytest
from forkserver import REAL_PROCESSES
from tiny_workflow import Workflow, empty_workflow

TABLES = (*(f"table{number}" for number in range(2, 9)), "text_10k")
FIGURES = (*("fig01", "fig05b", "fig06", "fig07", "fig08", "fig09", "fig10", "fig11"), "interpolation")
FIGURES += ("curves_autoencoders", "curves_diffusion", "resolutions", "groups")

pytestmark = pytest.mark.run


def test_the_run_says_at_its_start_what_will_be_missing_and_at_its_end_what_it_made(tiny_run: Workflow) -> None:
    said = tiny_run.text(".snakemake/said.txt")
    start, _, end = said.partition("66 of 66 steps (100%) done")
    assert "the tables lack the metrics of missing networks (inception, vgg16, clip" in start
    assert "`bright status config.yaml` shows every training of this run" in start
    assert "results/tiny/report.html" in end


def test_every_table_has_measured_rows_in_three_formats_and_every_figure_exists(tiny_run: Workflow) -> None:
    for table in TABLES:
        frame = pd.read_csv(tiny_run.path(f"results/tiny/tables/{table}.csv"))
        assert (frame["source"].str.lower() == "measured").any(), table
        assert tiny_run.text(f"results/tiny/tables/{table}.md").startswith("# ")
        assert "tabular" in tiny_run.text(f"results/tiny/tables/{table}.tex")
    for figure in FIGURES:
        assert tiny_run.path(f"results/tiny/figures/{figure}.png").read_bytes().startswith(b"\x89PNG")


def test_the_papers_claims_are_recomputed_from_the_tables_of_the_run(tiny_run: Workflow) -> None:
    frame = pd.read_csv(tiny_run.path("results/tiny/tables/claims.csv"))
    assert {"holds", "does not hold"} <= set(frame["verdict_published"])
    noise = frame[frame["says"] == "PSNR higher with noise"].iloc[0]
    assert (noise["ours_row_measured"], noise["other_row_measured"]) == ("main", "without-noise")


def test_image_sets_are_scored_by_the_present_network_and_the_others_are_reported_missing(tiny_run: Workflow) -> None:
    for network in ("inception", "clip", "vgg16"):
        assert f"network {network} is missing" in tiny_run.text("results/tiny/tables/table5.md")
    metrics = json.loads(tiny_run.text("results/tiny/metrics.json"))
    assert set(metrics["generation"]) == {"main", "gaussian", "real"}
    assert metrics["generation"]["main"].keys() == {"efficientnet_lite0"}


def test_the_store_has_only_results_with_a_recorded_identity(tiny_run: Workflow) -> None:
    results = tiny_run.folder / "results"
    recorded = {path.stem.rsplit("-", 1)[-1] for path in (results / "identities").glob("*.json")}
    assert {folder.name.rsplit("-", 1)[-1] for folder in (results / "store").glob("*/*")} == recorded
    assert [path for path in results.rglob("*") if "partial" in path.name] == [], "temporary files"
    assert {path.parent.name for path in (results / "logs").rglob("*.log")} == {"logs"}
    saved = {path.name.rsplit("-", 1)[0] for path in (results / "work").iterdir() if path.is_dir()}
    assert saved == {"train_autoencoder", "train_diffusion"}


def test_a_job_gets_the_threads_and_resources_of_its_line_in_the_log(tmp_path: Path, networks_folder: Path) -> None:
    """Of the stage's contract, or of the command line; a fork of the test's server has no launcher."""
    own = empty_workflow(tmp_path / "run", networks_folder)
    options = ("--until", "prepare_dataset", "--set-resources", "prepare_dataset:mem_mb=3000", "--printshellcmds")
    said = own.run(*options, **REAL_PROCESSES).text
    assert "Preparing datasets.tiny (threads=2, gpu=0, mem_mb=3000)\n" in said, "of 8 threads, as many as cores"
    assert "--workers 2\n" in said
    record = json.loads(own.text("results/records/prepare_dataset-*.json"))
    assert (record["gpus"], record["limit_mb"]) == (0, 3000)
