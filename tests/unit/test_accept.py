"""Results of earlier code and configs: accepted after a harmless change, removed when no config uses them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from finished_plan import TINY, finish, tiny_plan, tiny_values

from pipeline.base.amounts import readable_bytes
from pipeline.base.code import code_digest
from pipeline.base.errors import InputError
from pipeline.base.locks import lock_work_folder
from pipeline.commands.accept import accept
from pipeline.commands.prune import prune
from pipeline.config.root import load_config
from pipeline.plan.dvc import LOCKS, dvc_file
from pipeline.plan.shards import planned
from pipeline.stages import common
from pipeline.stages.accepted import ACCEPTED, identity_path
from pipeline.stages.autoencoders import autoencoder
from pipeline.stages.common import Jobs

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
    accept(TINY)
    assert "nothing to accept" in capsys.readouterr().out
    change("train_autoencoder", "score_features", "make_table")
    assert {"train_autoencoder", "dump_codes", "generate", "score_features", "make_table"} <= missing()
    accept(TINY, dry_run=True)
    assert "score_features: 5 of 5 results accepted" in capsys.readouterr().out
    assert not ACCEPTED.exists() and "score_features" in missing()
    accept(TINY)
    assert missing() == set()
    said = capsys.readouterr().out
    assert "train_autoencoder: 2 of 2 results accepted" in said
    assert "score_features: 5 of 5 results accepted" in said
    assert "make_table: 13 of 13 results accepted" in said, "the table of claims is made from other tables"
    recorded = json.loads(ACCEPTED.read_text())
    assert {key.split()[0] for key in recorded} == {"train_autoencoder", "score_features", "make_table"}


def test_second_change_is_accepted_on_top_of_the_first(change: Change) -> None:
    change("score_features", version="2")
    accept(TINY)
    change("score_features", version="3")
    assert "score_features" in missing()
    accept(TINY)
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
    accept(TINY)
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
    accept(retrained)
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
    accept(retrained, keys=[key], dry_run=True)
    said = capsys.readouterr().out
    assert "train_diffusion: 1 of 1 results accepted" in said and said.endswith("dry run: nothing was recorded\n")
    assert not ACCEPTED.exists()
    accept(retrained, keys=[key])
    assert "train_diffusion: 1 of 1 results accepted" in capsys.readouterr().out
    # The page prints the config's keys, under `diffusions.main`.
    of_page = {"make_report"} if key.startswith("diffusion.") else set()
    assert missing(plan_of(retrained)) == of_page
    accepted = {entry.split()[0] for entry in json.loads(ACCEPTED.read_text())}
    assert accepted == {"train_diffusion", "make_report"} - of_page
    assert missing() == set(), "the config of before has its results as before"


@pytest.mark.parametrize("key", ["batch", "training.steps", "diffusion.learning_rate", "rate"])
def test_another_key_accepts_nothing(retrained: Path, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    accept(retrained, keys=[key])
    said = capsys.readouterr().out
    assert said == f"nothing to accept: no results differ from the wanted ones in the code or in {key} alone\n"
    assert not ACCEPTED.exists()


def test_a_second_change_beside_the_named_key_is_not_accepted(retrained: Path) -> None:
    retrained.write_text(retrained.read_text().replace("ema_decay: 0.9", "ema_decay: 0.8"))
    accept(retrained, keys=["learning_rate"])
    assert not ACCEPTED.exists()
    accept(retrained, keys=["learning_rate", "ema_decay"])
    assert missing(plan_of(retrained)) == set()


def test_a_key_and_the_code_may_change_together(change: Change, retrained: Path) -> None:
    change("train_diffusion")
    accept(retrained, keys=["learning_rate"])
    assert missing(plan_of(retrained)) == set()


OTHER = tiny_values() | {"seed": 1}


@pytest.fixture
def other(own_folder: Path) -> Path:
    """A folder with the finished tiny run and a finished run of another seed, whose config this is."""
    finish(tiny_plan())
    finish(tiny_plan(OTHER))
    config = own_folder / "other.yaml"
    config.write_text(TINY.read_text().replace("run: tiny", "run: tiny\nseed: 1"))
    return config


def complete(seed: int) -> bool:
    return all(job.complete for job in tiny_plan(tiny_values() | {"seed": seed})(planned).values())


def test_results_of_the_configs_are_not_listed(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prune([TINY, other])
    assert capsys.readouterr().out == "nothing to remove\n"
    folder = tiny_plan()(autoencoder, "main").folder
    folder.rename(folder.with_name(f"first-{folder.name.rpartition('-')[2]}"))
    prune([TINY, other])
    assert capsys.readouterr().out == "nothing to remove\n"


def test_the_list_removes_nothing_nor_does_yes_during_a_run(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tiny_plan(OTHER)(autoencoder, "main")
    job.work.mkdir(parents=True)
    prune([TINY])
    *lines, last = capsys.readouterr().out.splitlines()
    assert any(line.endswith(str(job.folder)) and "6 B" in line for line in lines)
    assert any(line.endswith(str(job.work)) for line in lines)
    assert not any("results/store/datasets" in line for line in lines), "both runs have the dataset"
    assert f"in {len(lines)} folders; --yes removes them" in last
    assert complete(1)
    LOCKS.mkdir(parents=True)
    (LOCKS / "0.input.lock").touch()
    with pytest.raises(InputError, match="a run is active here"):
        prune([TINY], yes=True)
    assert complete(1)
    prune([TINY])
    assert "--yes removes them" in capsys.readouterr().out


def test_yes_removes_what_is_listed_and_its_records(other: Path) -> None:
    job = tiny_plan(OTHER)(autoencoder, "main")
    assert identity_path(*job.key).exists()
    job.work.mkdir(parents=True)
    dvc_file(job.folder).touch()
    prune([TINY], yes=True)
    assert not job.folder.exists()
    assert not job.work.exists()
    assert not dvc_file(job.folder).exists()
    assert not identity_path(*job.key).exists()
    assert complete(0)
    assert not complete(1)


def test_states_of_a_training_that_runs_are_not_listed_wherever_its_config_is(
    other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its lock tells, which a second checkout on the same results holds too."""
    job = tiny_plan(OTHER)(autoencoder, "main")
    held = lock_work_folder(job.work)
    prune([TINY], yes=True)
    assert str(job.work) not in capsys.readouterr().out
    assert job.work.is_dir()
    held.close()
    prune([TINY], yes=True)
    assert str(job.work) in capsys.readouterr().out
    assert not job.work.exists()


def test_saved_states_stay_while_their_training_is_not_done(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished, killed = (tiny_plan()(autoencoder, name) for name in ("main", "without-noise"))
    for job in (finished, killed):
        job.work.mkdir(parents=True)
    shutil.rmtree(killed.folder)
    prune([TINY, other], yes=True)
    assert not finished.work.exists()
    assert killed.work.exists()
    assert capsys.readouterr().out.splitlines()[-1] == "0 B in 1 folders removed"


RELEASED = {"family": "vqgan", "dataset": "tiny", "code_size": "4x4x2"}


@pytest.mark.parametrize(
    ("entry", "change", "lacks"),
    [
        ("datasets.tiny", {"source": {"kind": "folder", "path": "nowhere"}}, "raw images"),
        ("autoencoders.released", RELEASED | {"weights": {"kind": "ldm_vq", "path": "nowhere.ckpt"}}, "checkpoint"),
    ],
)
def test_a_config_whose_digests_cannot_be_known_is_refused(
    other: Path, entry: str, change: dict[str, Any], lacks: str
) -> None:
    values, (section, name) = tiny_values(), entry.split(".")
    values[section][name] = values[section].get(name, {}) | change
    values["tables"]["table2"] += ["released"] if section == "autoencoders" else []
    Path("unknown.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=rf"unknown.yaml: {entry}: neither its {lacks} nor"):
        prune([Path("unknown.yaml"), TINY], yes=True)
    assert complete(0)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "2 kB"), (3.2e9, "3 GB"), (5e15, "5000 TB")]
)
def test_sizes_are_readable(size: float, text: str) -> None:
    assert readable_bytes(size) == text
