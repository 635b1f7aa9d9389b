"""Existing results count again after a change of the code that is known to be harmless."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from finished_plan import TINY, finish, tiny_plan

from pipeline import accept as command
from pipeline.base.code import code_digest
from pipeline.plan import jobs
from pipeline.plan.build import ACCEPTED
from pipeline.plan.stages import STAGES

Change = Callable[..., None]


@pytest.fixture
def change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Change:
    """A finished plan in a folder of its own; calling the fixture changes the code of stages."""
    monkeypatch.chdir(tmp_path)
    finish(tiny_plan())

    def changed(*stages: str, version: str = "2") -> None:
        def digest(modules: tuple[str, ...]) -> str:
            codes = [STAGES[name].code for name in stages]  # those of a model's family come after them
            return code_digest(modules) + (version if any(modules[: len(code)] == code for code in codes) else "")

        monkeypatch.setattr(jobs, "code_digest", digest)

    return changed


def missing() -> set[str]:
    return {job.stage for job in tiny_plan().jobs.values() if not job.complete}


def test_nothing_is_accepted_where_nothing_changed(change: Change, capsys: pytest.CaptureFixture[str]) -> None:
    command.accept(TINY)
    assert "nothing to accept" in capsys.readouterr().out
    assert not ACCEPTED.exists()


def test_all_results_count_again_after_accepting(change: Change, capsys: pytest.CaptureFixture[str]) -> None:
    change("train_autoencoder", "score_features")
    assert {"train_autoencoder", "dump_codes", "generate", "score_features", "make_table"} <= missing()
    command.accept(TINY)
    assert missing() == set()
    said = capsys.readouterr().out
    assert "train_autoencoder: 2 of 2 results accepted" in said
    assert "score_features: 5 of 5 results accepted" in said
    recorded = json.loads(ACCEPTED.read_text())
    assert {key.split()[0] for key in recorded} == {"train_autoencoder", "score_features"}


def test_a_dry_run_records_nothing(change: Change, capsys: pytest.CaptureFixture[str]) -> None:
    change("score_features")
    command.accept(TINY, dry_run=True)
    assert "score_features: 5 of 5 results accepted" in capsys.readouterr().out
    assert not ACCEPTED.exists()
    assert "score_features" in missing()


def test_a_second_harmless_change_is_accepted_on_top_of_the_first(change: Change) -> None:
    change("score_features", version="2")
    command.accept(TINY)
    change("score_features", version="3")
    assert "score_features" in missing()
    command.accept(TINY)
    assert missing() == set()
    change("score_features", version="2")
    assert missing() == set(), "the first acceptance still holds"


def test_results_that_are_gone_are_not_accepted(change: Change, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree("results/store/evaluations")
    change("score_features")
    command.accept(TINY)
    assert "nothing to accept" in capsys.readouterr().out


def test_results_made_since_with_the_changed_code_stay(change: Change, capsys: pytest.CaptureFixture[str]) -> None:
    change("score_features")
    finish(tiny_plan())
    command.accept(TINY)
    assert "nothing to accept" in capsys.readouterr().out


def test_settings_are_never_accepted(change: Change, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "changed.yaml"
    config.write_text(TINY.read_text().replace("learning_rate: 1.0e-3", "learning_rate: 2.0e-3"))
    command.accept(config)
    assert "nothing to accept" in capsys.readouterr().out
