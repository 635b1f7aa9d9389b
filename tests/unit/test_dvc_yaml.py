"""results/RUN/dvc.yaml: what DVC shows of a run, under names that stay."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from finished_plan import finish, tiny_plan, tiny_values

from pipeline.config.root import load_config
from pipeline.plan.run import Plan, read_config
from pipeline.plan.tracking import dvc_file

ROOT = Path(__file__).parents[2]
FOLDER = Path("results/tiny")
TRAINED = ("autoencoder-main", "autoencoder-without-noise", "diffusion-main")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A finished plan in a folder of its own, whose histories have a header."""
    monkeypatch.chdir(tmp_path)
    plan = tiny_plan()
    finish(plan)
    for name, columns in (("main", "l2,adversarial"), ("without-noise", "l2")):
        job = plan.autoencoder(name)
        Path(job.path("autoencoder.history.csv")).write_text(f"step,images,seconds,{columns}\n")
    Path(plan.diffusion("main").path("diffusion.history.csv")).write_text("step,images,seconds\n")
    plan.publish()
    return plan


def shown() -> dict[str, Any]:
    return yaml.safe_load((FOLDER / "dvc.yaml").read_text())


def test_there_are_no_stages_here_nor_in_the_repository() -> None:
    assert "stages" not in yaml.safe_load((ROOT / "dvc.yaml").read_text())


def test_the_repositorys_own_file_names_configs_that_exist() -> None:
    assert all((ROOT / path).exists() for path in yaml.safe_load((ROOT / "dvc.yaml").read_text())["params"])


def test_everything_that_is_shown_exists(plan: Plan) -> None:
    assert set(shown()) == {"params", "plots", "artifacts"}, "no summary has a number yet"
    curves = [
        path for plot in shown()["plots"] if isinstance(plot, dict) for facts in plot.values() for path in facts["y"]
    ]
    pictures = [plot for plot in shown()["plots"] if isinstance(plot, str)]
    weights = [facts["path"] for facts in shown()["artifacts"].values()]
    assert len(pictures) == len(plan.figures)
    for path in (*shown()["params"], *curves, *pictures, *weights):
        assert (FOLDER / path).exists(), path


def test_a_column_is_a_plot_with_a_curve_of_each_training_that_logged_it(plan: Plan) -> None:
    plots = {title: facts for plot in shown()["plots"] if isinstance(plot, dict) for title, facts in plot.items()}
    assert plots.keys() == {"tiny: autoencoder, l2", "tiny: autoencoder, adversarial"}
    main, other = "histories/autoencoder-main.csv", "histories/autoencoder-without-noise.csv"
    assert plots["tiny: autoencoder, l2"]["y"] == {main: "l2", other: "l2"}
    assert plots["tiny: autoencoder, adversarial"]["y"] == {main: "adversarial"}
    assert plots["tiny: autoencoder, l2"]["x"] == "images"


def test_trained_weights_are_artifacts_by_name(plan: Plan) -> None:
    assert shown()["artifacts"].keys() == set(TRAINED)
    path = shown()["artifacts"]["autoencoder-main"]["path"]
    assert os.path.normpath(FOLDER / path) == plan.autoencoder("main").path("autoencoder.safetensors")


def test_weights_that_are_only_tracked_stay_artifacts_and_absent_ones_go(plan: Plan) -> None:
    for name in ("main", "without-noise"):
        Path(plan.autoencoder(name).path("autoencoder.safetensors")).unlink()
    dvc_file(plan.autoencoder("main").folder).write_text("outs: []")
    plan.publish()
    assert shown()["artifacts"].keys() == {"autoencoder-main", "diffusion-main"}


def test_names_that_dvc_refuses_are_written_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = tiny_values()
    values["autoencoders"] |= {"C_key = 2": {"like": "main", "seed": 1}, "C_key.2": {"like": "main", "seed": 2}}
    values["tables"]["table2"] = ["C_key = 2", "C_key.2"]
    plan = tiny_plan(values)
    finish(plan)
    second = plan.autoencoder("C_key.2").digest
    assert {"autoencoder-C_key-2", f"autoencoder-C_key-2-{second}"} <= shown()["artifacts"].keys()


def test_publishing_again_writes_nothing(plan: Plan) -> None:
    before = (FOLDER / "dvc.yaml").stat().st_mtime_ns, (FOLDER / "config.yaml").stat().st_mtime_ns
    plan.publish()
    assert before == ((FOLDER / "dvc.yaml").stat().st_mtime_ns, (FOLDER / "config.yaml").stat().st_mtime_ns)


def test_a_run_without_results_shows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_plan().publish()
    assert not FOLDER.exists()


@pytest.mark.parametrize("config", ["config/demo.yaml", "config/paper.yaml", "tests/workflow/tiny.yaml"])
def test_the_published_config_is_the_runs_own_with_all_defaults(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = read_config(ROOT / config)
    monkeypatch.chdir(tmp_path)
    values = yaml.safe_load(yaml.safe_dump(Plan(written).written.model_dump(mode="json")))
    assert load_config(values) == written


def test_the_published_config_has_the_seeds_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finish(tiny_plan(tiny_values() | {"training_seeds": [3, 4]}))
    published = yaml.safe_load((FOLDER / "config.yaml").read_text())
    assert published["training_seeds"] == [3, 4]
    assert published["autoencoders"]["main"]["seed"] == 0
    assert {"autoencoder-main", "autoencoder-main-seed4"} <= shown()["artifacts"].keys()
