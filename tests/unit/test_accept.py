"""Existing results count again after a change, of the code or of a key, that is known to be harmless."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from finished_plan import TINY, finish, tiny_plan

from pipeline.base.code import code_digest
from pipeline.commands import accept as command
from pipeline.config.root import load_config
from pipeline.plan.shards import planned
from pipeline.stages import common
from pipeline.stages.common import ACCEPTED, Jobs

Change = Callable[..., None]


@pytest.fixture
def change(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Change:
    """A finished plan in a folder of its own; calling the fixture changes the code of stages."""
    finish(tiny_plan())

    def changed(*stages: str, version: str = "2") -> None:
        def digest(roots: tuple[str, ...]) -> str:
            command, *_ = roots  # those of a model's family come after it
            return code_digest(roots) + (version if command.removeprefix("pipeline.") in stages else "")

        monkeypatch.setattr(common, "code_digest", digest)

    return changed


def missing(jobs: Jobs | None = None) -> set[str]:
    """Stages of the tiny plan, or of another one, that have jobs without results."""
    return {job.stage.name for job in (jobs or tiny_plan())(planned).values() if not job.complete}


def test_results_count_again_after_accepting_a_change_of_the_code(
    change: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    command.accept(TINY)
    assert "nothing to accept" in capsys.readouterr().out
    change("train_autoencoder", "score_features", "make_table")
    assert {"train_autoencoder", "dump_codes", "generate", "score_features", "make_table"} <= missing()
    command.accept(TINY, dry_run=True)
    assert "score_features: 5 of 5 results accepted" in capsys.readouterr().out
    assert not ACCEPTED.exists() and "score_features" in missing()
    command.accept(TINY)
    assert missing() == set()
    said = capsys.readouterr().out
    assert "train_autoencoder: 2 of 2 results accepted" in said
    assert "score_features: 5 of 5 results accepted" in said
    assert "make_table: 13 of 13 results accepted" in said, "the table of claims is made from other tables"
    recorded = json.loads(ACCEPTED.read_text())
    assert {key.split()[0] for key in recorded} == {"train_autoencoder", "score_features", "make_table"}


def test_second_change_is_accepted_on_top_of_the_first(change: Change) -> None:
    change("score_features", version="2")
    command.accept(TINY)
    change("score_features", version="3")
    assert "score_features" in missing()
    command.accept(TINY)
    assert missing() == set()
    change("score_features", version="2")
    assert missing() == set(), "the first acceptance still holds"


@pytest.mark.parametrize("results", ["gone", "made since"])
def test_results_that_are_gone_or_made_since_are_not_accepted(
    change: Change, capsys: pytest.CaptureFixture[str], results: str
) -> None:
    if results == "gone":
        shutil.rmtree("results/store/evaluations")
    change("score_features")
    if results == "made since":
        finish(tiny_plan())
    command.accept(TINY)
    assert "nothing to accept" in capsys.readouterr().out
    assert not ACCEPTED.exists()


@pytest.fixture
def retrained(change: Change, tmp_path: Path) -> Path:
    """A config with another learning rate of its diffusion model."""
    config = tmp_path / "changed.yaml"
    config.write_text(TINY.read_text().replace("learning_rate: 1.0e-3", "learning_rate: 2.0e-3"))
    return config


def plan_of(config: Path) -> Jobs:
    return Jobs(load_config(yaml.safe_load(config.read_text())))


def test_settings_are_never_accepted_by_themselves(retrained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.accept(retrained)
    said = capsys.readouterr().out
    assert said == "nothing to accept: no results differ from the wanted ones in the code alone\n"
    assert {"train_diffusion", "generate"} <= missing(plan_of(retrained))


@pytest.mark.parametrize(
    "key", ["learning_rate", "training.learning_rate", "diffusion.training.learning_rate", "training"]
)
def test_a_named_key_is_accepted_with_all_that_stands_on_it(
    retrained: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "train_diffusion" in missing(plan_of(retrained))
    command.accept(retrained, keys=[key])
    said = capsys.readouterr().out
    assert "train_diffusion: 1 of 1 results accepted" in said
    # The page prints the config's keys, under `diffusions.main`.
    of_page = {"make_report"} if key.startswith("diffusion.") else set()
    assert missing(plan_of(retrained)) == of_page
    accepted = {entry.split()[0] for entry in json.loads(ACCEPTED.read_text())}
    assert accepted == {"train_diffusion", "make_report"} - of_page
    assert missing() == set(), "the config of before has its results as before"


@pytest.mark.parametrize("key", ["batch", "training.steps", "diffusion.learning_rate", "rate"])
def test_another_key_accepts_nothing(retrained: Path, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.accept(retrained, keys=[key])
    said = capsys.readouterr().out
    assert said == f"nothing to accept: no results differ from the wanted ones in the code or in {key} alone\n"
    assert not ACCEPTED.exists()


def test_a_second_change_beside_the_named_key_is_not_accepted(retrained: Path) -> None:
    retrained.write_text(retrained.read_text().replace("ema_decay: 0.9", "ema_decay: 0.8"))
    command.accept(retrained, keys=["learning_rate"])
    assert not ACCEPTED.exists()
    command.accept(retrained, keys=["learning_rate", "ema_decay"])
    assert missing(plan_of(retrained)) == set()


def test_a_key_and_the_code_may_change_together(change: Change, retrained: Path) -> None:
    change("train_diffusion")
    command.accept(retrained, keys=["learning_rate"])
    assert missing(plan_of(retrained)) == set()


def test_accepting_keys_in_a_dry_run_records_nothing(retrained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.accept(retrained, keys=["learning_rate"], dry_run=True)
    said = capsys.readouterr().out
    assert "train_diffusion: 1 of 1 results accepted" in said and said.endswith("dry run: nothing was recorded\n")
    assert not ACCEPTED.exists()
