"""dvc.yaml reads a run's numbers and curves, and says the same names as the demo's config."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.plan.run import Plan, read_config

ROOT = Path(__file__).parents[2]
DVC = Path(sys.executable).with_name("dvc")
METRICS = {
    "reconstruction": {"main": {"psnr": 23.25, "ssim": 0.81}},
    "generation": {"main": {"efficientnet_lite0": {"1000": {"frechet_distance": 512.5}}}},
}


def run(folder: Path, *command: str | Path) -> str:
    result = subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def commit(folder: Path) -> None:
    run(folder, "git", "add", "--all")
    run(folder, "git", "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "A run")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with this one's DVC files and the numbers and curves of a made-up run."""
    shutil.copytree(ROOT / ".dvc", tmp_path / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    for name in (".dvcignore", ".gitignore", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config" / "demo.yaml", tmp_path / "config" / "demo.yaml")
    run_folder = tmp_path / "results" / "demo"
    (run_folder / "histories").mkdir(parents=True)
    (run_folder / "metrics.json").write_text(json.dumps(METRICS))
    for path in plotted():
        (tmp_path / path).write_text("step,images,l2,perceptual,loss\n20,320,0.2,0.3,0.9\n40,640,0.1,0.2,0.8\n")
    run(tmp_path, "git", "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def plotted() -> dict[str, str]:
    """The files of dvc.yaml's plots and a column of each."""
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    return {path: column for plot in plots for facts in plot.values() for path, column in facts["y"].items()}


def test_dvc_yaml_has_no_stages() -> None:
    assert "stages" not in yaml.safe_load((ROOT / "dvc.yaml").read_text())


def test_plotted_histories_are_those_that_the_demo_publishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    published = Plan(read_config(ROOT / "config" / "demo.yaml")).view
    assert set(plotted()) <= set(published)


def test_dvc_shows_and_compares_a_runs_metrics(repository: Path) -> None:
    shown = json.loads(run(repository, DVC, "metrics", "show", "--json"))
    assert shown[""]["data"]["results/demo/metrics.json"]["data"] == METRICS
    changed = METRICS | {"reconstruction": {"main": {"psnr": 24.0, "ssim": 0.81}}}
    (repository / "results" / "demo" / "metrics.json").write_text(json.dumps(changed))
    changes = json.loads(run(repository, DVC, "metrics", "diff", "--json"))
    assert changes == {
        "results/demo/metrics.json": {"reconstruction.main.psnr": {"old": 23.25, "new": 24.0, "diff": 0.75}}
    }
    run(repository, DVC, "plots", "show")
    assert (repository / "dvc_plots" / "index.html").stat().st_size > 1000


def test_the_store_can_be_pulled_in_parts(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The README's lines: one `.dvc` file for the store, of which a colleague pulls one autoencoder."""
    for path in ("autoencoders/bright-8x8x4-1/autoencoder.safetensors", "codes/bright-8x8x4-2/codes.safetensors"):
        (repository / "results/store" / path).parent.mkdir(parents=True)
        (repository / "results/store" / path).write_text(path)
    run(repository, DVC, "add", "--no-relink", "results/store")
    run(repository, DVC, "remote", "add", "--default", "colleagues", tmp_path_factory.mktemp("remote"))
    run(repository, DVC, "push")
    commit(repository)
    clone = tmp_path_factory.mktemp("clone") / "repository"
    run(repository, "git", "clone", "--quiet", ".", clone)
    run(clone, DVC, "pull", "results/store/autoencoders/bright-8x8x4-1")
    assert [p.name for p in (clone / "results/store").rglob("*") if p.is_file()] == ["autoencoder.safetensors"]
    run(clone, DVC, "pull")
    assert (clone / "results/store/codes/bright-8x8x4-2/codes.safetensors").is_file()
