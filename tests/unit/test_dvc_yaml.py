"""results/RUN/dvc.yaml: what DVC shows of a run, under names that stay."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from finished_plan import TINY, finish, tiny_plan, tiny_values

from pipeline.base.atomic import write_text
from pipeline.base.summary import Summary, Value, write_summary
from pipeline.config.root import load_config, read_config
from pipeline.plan.dvc import dvc_file
from pipeline.plan.publish import publish
from pipeline.stages.autoencoders import autoencoder, reconstruction
from pipeline.stages.common import Jobs
from pipeline.stages.figures import figures
from pipeline.stages.generation import diffusion

ROOT = Path(__file__).parents[2]
FOLDER = Path("results/tiny")
TRAINED = ("autoencoder-main", "autoencoder-without-noise", "diffusion-main")


@pytest.fixture
def plan(own_folder: Path) -> Jobs:
    """A finished plan in a folder of its own, whose histories have a header."""
    plan = tiny_plan()
    finish(plan)
    for name, columns in (("main", "l2,adversarial"), ("without-noise", "l2")):
        job = plan(autoencoder, name)
        write_text(job.path("autoencoder.history.csv"), f"step,images,seconds,{columns}\n")
    write_text(plan(diffusion, "main").path("diffusion.history.csv"), "step,images,seconds\n")
    publish(plan, str(TINY))
    return plan


def shown() -> dict[str, Any]:
    return yaml.safe_load((FOLDER / "dvc.yaml").read_text())


def test_the_repositorys_own_file_names_configs_that_exist() -> None:
    assert all((ROOT / path).exists() for path in yaml.safe_load((ROOT / "dvc.yaml").read_text())["params"])


def test_everything_that_is_shown_exists(plan: Jobs) -> None:
    assert set(shown()) == {"params", "plots", "artifacts"}, "no summary has a number yet"
    curves = [
        path for plot in shown()["plots"] if isinstance(plot, dict) for facts in plot.values() for path in facts["y"]
    ]
    pictures = [plot for plot in shown()["plots"] if isinstance(plot, str)]
    weights = [facts["path"] for facts in shown()["artifacts"].values()]
    assert len(pictures) == len(plan(figures))
    for path in (*shown()["params"], *curves, *pictures, *weights):
        assert (FOLDER / path).exists(), path


def test_a_column_is_a_plot_with_a_curve_of_each_training_that_logged_it(plan: Jobs) -> None:
    plots = {title: facts for plot in shown()["plots"] if isinstance(plot, dict) for title, facts in plot.items()}
    assert plots.keys() == {"tiny: autoencoder, l2", "tiny: autoencoder, adversarial"}
    main, other = "histories/autoencoder-main.csv", "histories/autoencoder-without-noise.csv"
    assert plots["tiny: autoencoder, l2"]["y"] == {main: "l2", other: "l2"}
    assert plots["tiny: autoencoder, adversarial"]["y"] == {main: "adversarial"}
    assert plots["tiny: autoencoder, l2"]["x"] == "images"


def test_trained_weights_are_artifacts_by_name(plan: Jobs) -> None:
    assert shown()["artifacts"].keys() == set(TRAINED)
    path = shown()["artifacts"]["autoencoder-main"]["path"]
    assert os.path.normpath(FOLDER / path) == plan(autoencoder, "main").path("autoencoder.safetensors")


def test_weights_that_are_only_tracked_stay_artifacts_and_absent_ones_go(plan: Jobs) -> None:
    for name in ("main", "without-noise"):
        Path(plan(autoencoder, name).path("autoencoder.safetensors")).unlink()
    dvc_file(plan(autoencoder, "main").folder).write_text("outs: []")
    publish(plan, str(TINY))
    assert shown()["artifacts"].keys() == {"autoencoder-main", "diffusion-main"}


def test_names_that_dvc_refuses_are_written_otherwise(own_folder: Path) -> None:
    values = tiny_values()
    values["autoencoders"] |= {"C_key.2": {"like": "main", "seed": 1}, "C_key-2": {"like": "main", "seed": 2}}
    values["tables"]["table2"] = ["C_key.2", "C_key-2"]
    plan = tiny_plan(values)
    finish(plan)
    second = plan(autoencoder, "C_key-2").digest
    assert {"autoencoder-C_key-2", f"autoencoder-C_key-2-{second}"} <= shown()["artifacts"].keys()


@pytest.mark.parametrize("config", ["config/demo.yaml", "config/paper.yaml", "tests/workflow/tiny.yaml"])
def test_the_published_config_is_the_runs_own_with_all_defaults(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = read_config(ROOT / config)
    monkeypatch.chdir(tmp_path)
    values = yaml.safe_load(yaml.safe_dump(Jobs(written).written.model_dump(mode="json")))
    assert load_config(values) == written


def test_the_published_config_has_the_seeds_as_written(own_folder: Path) -> None:
    finish(tiny_plan(tiny_values() | {"training_seeds": [3, 4]}))
    published = yaml.safe_load((FOLDER / "config.yaml").read_text())
    assert published["training_seeds"] == [3, 4]
    assert published["autoencoders"]["main"]["seed"] == 0
    assert {"autoencoder-main", "autoencoder-main-seed4"} <= shown()["artifacts"].keys()


@pytest.fixture
def repository(plan: Jobs, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git and DVC repository, committed, in which a run with one number is published."""
    measured = Summary(kind="reconstruction", values={"psnr": Value(number=23.5)})
    write_summary(plan(reconstruction, "main").path("summary.json"), measured)
    publish(plan, str(TINY))
    for name in (".dvc", "config"):
        shutil.copytree(ROOT / name, name, ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    for name in (".dvcignore", ".gitignore", "dvc.yaml"):
        shutil.copy(ROOT / name, name)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(Path("..", "dvc-site").resolve()))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "A run"]):
        subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@b", *words], check=True)
    return Path.cwd()


def dvc(*words: str) -> tuple[int, str]:
    """Exit code and words of a call of DVC."""
    command = [sys.executable, "-m", "dvc", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("words", [("repro",), ("exp", "run")])
def test_dvc_makes_nothing_and_says_what_to_type(repository: Path, words: tuple[str, ...]) -> None:
    before = sorted(repository.rglob("results/**/*"))
    code, said = dvc(*words)
    assert code != 0
    assert "error: DVC makes nothing here; type snakemake (docs/sharing.md)" in said.splitlines()
    assert git("status", "--short") == "" and not Path("dvc.lock").exists()
    assert sorted(repository.rglob("results/**/*")) == before
    assert dvc("exp", "list", "--name-only") == (0, ""), "no experiment was recorded"


def test_dvc_still_shows_metrics_and_changed_params(repository: Path) -> None:
    code, said = dvc("metrics", "show", "--json")
    assert (code, json.loads(said)[""]["data"]["results/tiny/metrics.json"]["data"]) == (
        0,
        {"reconstruction": {"main": {"psnr": 23.5}}},
    )
    config = Path("config/demo.yaml")
    config.write_text(config.read_text().replace("run: demo", "run: demo\nseed: 5", 1))
    code, said = dvc("params", "diff", "--json")
    assert (code, json.loads(said)) == (0, {"config/demo.yaml": {"seed": {"old": None, "new": 5}}})
