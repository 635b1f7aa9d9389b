"""results/RUN has copies of the config's results only, keeps the last copy of each, and has a dvc.yaml for DVC."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from bright_pipeline.config.root import load_config, read_config
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.engine.jobs import planned
from bright_pipeline.engine.shards import view
from bright_pipeline.evaluation.summary import Summary, Value, write_summary
from bright_pipeline.plan.publish import RECORD, Published, dvc_file, publish, written_values
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.evaluation import evaluation, neighbours
from bright_pipeline.stages.figures import figures
from bright_pipeline.stages.generation import diffusion
from bright_pipeline.stages.measurements import reconstruction
from bright_pipeline.stages.tables import tables
from finished_plan import TINY, finish, make, tiny_plan, tiny_values

pytestmark = pytest.mark.usefixtures("own_folder")

ROOT, RUN = Path(__file__).parents[2], Path("results/tiny")
MADE_OF_ALL = {str(RUN / "report.html"), *(str(RUN / "tables" / f"claims.{suffix}") for suffix in ("csv", "md", "tex"))}
"""Results that change where one table is missing."""


def files(folder: Path = RUN) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def with_seed(seed: int) -> Jobs:
    return tiny_plan(tiny_values() | {"seed": seed})


def without_section34() -> Jobs:
    tables = {name: rows for name, rows in tiny_values()["tables"].items() if name != "section34"}
    return tiny_plan(tiny_values() | {"tables": tables})


def test_a_finished_plan_publishes_each_file_of_its_view_once() -> None:
    jobs = tiny_plan()
    finish(jobs)
    places = {str(path) for path in files()}
    of_the_run = {str(RUN / name) for name in (RECORD, "metrics.json", "config.yaml", "dvc.yaml")}
    assert places - of_the_run == jobs(view).keys()
    finish(tiny_plan())
    jobs = tiny_plan()
    shown = publish(jobs, "tiny.yaml")
    assert jobs(view).keys() <= set(shown.present)
    assert not shown.earlier


def test_copies_of_another_configs_results_go_and_come_back() -> None:
    finish(tiny_plan())
    before = files()
    other = with_seed(1)
    shown = publish(other, "tiny.yaml")
    # The other config has no results yet: copies under its names stay, as those of an earlier run.
    assert [path for path in before if path.suffix in (".md", ".png") and not path.exists()] == []
    assert set(shown.earlier) == {str(path) for path in before if str(path) in other(view)} - set(shown.present)
    assert {Path(path).name for path in shown.present if path.endswith(".md")} == {"table3.md"}, "counts know no seed"
    make([job for job in other(planned).values() if not job.complete], "{ }")
    publish(other, "tiny.yaml")
    assert {path.read_text() for path in files(RUN / "tables")} == {"{}", "{ }"}
    assert (RUN / "tables" / "table2.md").read_text() == "{ }"
    publish(tiny_plan(), "tiny.yaml")
    assert files() == before
    assert {path.read_text() for path in files(RUN / "tables")} == {"{}"}


def test_a_copy_that_the_config_no_longer_has_goes_unless_it_is_the_last_one() -> None:
    finish(tiny_plan())
    smaller = without_section34()
    gone = tiny_plan()(view).keys() - smaller(view).keys()
    assert {Path(path).name for path in gone} >= {"section34.md", "noise_robustness.png"}
    assert set(publish(smaller, "tiny.yaml").earlier) == MADE_OF_ALL
    assert not [path for path in gone if Path(path).exists()]
    publish(tiny_plan(), "tiny.yaml")
    assert all(Path(path).exists() for path in gone)
    shutil.rmtree(tiny_plan()(tables)["section34"].folder)
    shown = publish(without_section34(), "tiny.yaml")
    last = {str(RUN / "tables" / f"section34.{suffix}") for suffix in ("csv", "md", "tex")}
    assert set(shown.earlier) == last | MADE_OF_ALL
    assert all(Path(path).exists() for path in shown.earlier)
    assert set(publish(without_section34(), "tiny.yaml").earlier) == set(shown.earlier), "also the next time"


def test_a_file_that_is_no_copy_of_its_result_stays_with_a_line() -> None:
    """A record may name a file of the user, or the user may have edited a copy."""
    finish(tiny_plan())
    copy = RUN / "tables" / "section34.md"
    copy.write_text("my notes")
    for _ in range(2):
        (line,) = publish(without_section34(), "tiny.yaml").damaged
        assert line.startswith(f"{copy}: kept, since it differs from results/store/tables/section34-")
    assert copy.read_text() == "my notes"


@pytest.mark.parametrize("seed", [0, 1], ids=["the same config", "another config"])
def test_in_a_clone_without_the_store_copies_stay_and_those_of_another_config_are_said_to_be_earlier(seed: int) -> None:
    finish(tiny_plan())
    before = {path: path.read_bytes() for path in files()}
    shutil.rmtree("results/store")
    shown = publish(with_seed(seed), "tiny.yaml")
    assert {path: path.read_bytes() for path in files()} == before
    if seed == 0:
        assert not shown.earlier, "the record says that they are of this config's results"
    else:
        assert str(RUN / "tables" / "table2.md") in shown.earlier
        assert str(RUN / "tables" / "table3.md") not in shown.earlier, "counts know no seed"
        assert not shown.present


def test_content_decides_and_not_clocks() -> None:
    jobs = tiny_plan()
    finish(jobs)
    for path in files():
        os.utime(path, (1, 1))
    finish(tiny_plan())
    assert {path.stat().st_mtime for path in files()} == {1}, "equal content is not written again"
    stored = Path(jobs(tables)["table2"].path("table.md"))
    write_text(stored, "another")
    os.utime(stored, (1, 1))
    publish(jobs, "tiny.yaml")
    assert (RUN / "tables" / "table2.md").read_text() == "another"


def test_of_a_run_without_results_nothing_is_written() -> None:
    jobs = tiny_plan()
    assert jobs(planned) and jobs(view)
    assert publish(jobs, "tiny.yaml") == Published()
    assert not list(Path().iterdir())


@pytest.fixture
def plan(own_folder: Path) -> Jobs:
    """A finished plan in its own folder, whose histories have a header."""
    plan = tiny_plan()
    finish(plan)
    for name, columns in (("main", "l2,adversarial"), ("without-noise", "l2")):
        job = plan(autoencoder, name)
        write_text(job.path("autoencoder.history.csv"), f"step,images,seconds,{columns}\n")
    write_text(plan(diffusion, "main").path("diffusion.history.csv"), "step,images,seconds\n")
    publish(plan, str(TINY))
    return plan


def shown() -> dict[str, Any]:
    return yaml.safe_load((RUN / "dvc.yaml").read_text())


def test_everything_that_is_shown_exists_and_a_column_is_a_plot_with_a_curve_of_each_training(plan: Jobs) -> None:
    assert set(shown()) == {"plots", "artifacts"}, "no table has a number yet"
    plots = {title: facts for plot in shown()["plots"] if isinstance(plot, dict) for title, facts in plot.items()}
    pictures = [plot for plot in shown()["plots"] if isinstance(plot, str)]
    weights = [facts["path"] for facts in shown()["artifacts"].values()]
    assert len(pictures) == len(plan(figures))
    for path in (*(curve for facts in plots.values() for curve in facts["y"]), *pictures, *weights):
        assert (RUN / path).exists(), path
    main, other = "histories/autoencoder-main.csv", "histories/autoencoder-without-noise.csv"
    assert {title: (facts["x"], facts["y"]) for title, facts in plots.items()} == {
        "tiny: autoencoder, l2": ("images", {main: "l2", other: "l2"}),
        "tiny: autoencoder, adversarial": ("images", {main: "adversarial"}),
    }


def test_trained_and_tracked_weights_are_artifacts_by_name_and_absent_ones_are_not(plan: Jobs) -> None:
    assert shown()["artifacts"].keys() == {"autoencoder-main", "autoencoder-without-noise", "diffusion-main"}
    path = shown()["artifacts"]["autoencoder-main"]["path"]
    assert os.path.normpath(RUN / path) == plan(autoencoder, "main").path("autoencoder.safetensors")
    for name in ("main", "without-noise"):
        Path(plan(autoencoder, name).path("autoencoder.safetensors")).unlink()
    dvc_file(plan(autoencoder, "main").folder).write_text("outs: []")
    publish(plan, str(TINY))
    assert shown()["artifacts"].keys() == {"autoencoder-main", "diffusion-main"}


def test_names_that_dvc_refuses_and_seeds_are_written_otherwise(own_folder: Path) -> None:
    values = tiny_values() | {"training_seeds": [3, 4]}
    values["autoencoders"] |= {"C_key.2": {"like": "main", "seed": 1}, "C_key-2": {"like": "main", "seed": 2}}
    values["tables"]["table2"] = ["C_key.2", "C_key-2"]
    plan = tiny_plan(values)
    finish(plan)
    second = plan(autoencoder, "C_key-2").digest
    names = {"autoencoder-C_key-2", f"autoencoder-C_key-2-{second}", "autoencoder-main-seed4"}
    assert names <= shown()["artifacts"].keys()
    published = yaml.safe_load((RUN / "config.yaml").read_text())
    assert (published["training_seeds"], published["autoencoders"]["main"]["seed"]) == ([3, 4], 0)


@pytest.mark.parametrize("config", ["config/demo.yaml", "config/paper.yaml", "tests/workflow/tiny.yaml"])
def test_the_published_config_is_the_runs_own_with_all_defaults(config: str) -> None:
    written = read_config(ROOT / config)
    values = yaml.safe_load(yaml.safe_dump(written_values(Jobs(written))))
    assert load_config(values) == written


def test_metrics_have_the_numbers_of_finished_jobs_by_name() -> None:
    plan = Jobs(read_config(ROOT / "config" / "demo.yaml"))
    network = "efficientnet_lite0"
    near = {"median_generated": 0.1, "median_validation": 0.11, "ratio": 0.9}
    for job, numbers in (
        (plan(reconstruction, "main"), {"psnr": 23.5, "code_bits": 12.0}),
        (plan(evaluation, "main", network, 1000), {f"{network}.score_mean": 530.0}),
        (plan(evaluation, "main", network, 500), {f"{network}.kernel_distance": 560.0}),
        (plan(neighbours, "main"), near | {"share_nearer": 0.5}),
    ):
        values = {name: Value(number=number, std=2.0) for name, number in numbers.items()}
        write_summary(job.path("summary.json"), Summary(kind="any", values=values))
    assert "results/demo/metrics.json" in publish(plan, "demo.yaml").present
    scores = {"score_mean": 530.0, "score_std": 2.0}
    distances = {"kernel_distance": 560.0, "kernel_distance_std": 2.0}
    assert json.loads(Path("results/demo/metrics.json").read_text()) == {
        "reconstruction": {"main": {"psnr": 23.5}},
        "generation": {"main": {network: {"1000": scores, "500": distances}}},
        "neighbours": {"main": near},
    }
