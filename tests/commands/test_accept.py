"""Results of earlier code and configs: accepted after a harmless change, removed when no config uses them."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from bright_pipeline.base.amounts import readable_bytes
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.locks import lock_work_folder
from bright_pipeline.commands.accept import accept
from bright_pipeline.commands.prune import prune
from bright_pipeline.config.root import load_config
from bright_pipeline.engine import jobs as engine_jobs
from bright_pipeline.engine.code import code_digest
from bright_pipeline.engine.jobs import planned
from bright_pipeline.engine.store import ACCEPTED, identity_path
from bright_pipeline.plan.publish import LOCKS, dvc_file
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import dataset
from bright_pipeline.stages.generation import diffusion
from bright_pipeline.stages.page import page
from finished_plan import TINY, finish, tiny_plan, tiny_values, with_key

Captured = pytest.CaptureFixture[str]
Change = Callable[..., None]


@pytest.fixture
def change(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Change:
    """A finished plan in a folder of its own; calling the fixture changes the code of stages."""
    finish(tiny_plan())

    def changed(*stages: str, version: str = "2") -> None:
        # The command is the first module, before those of a model's family.
        versions = {f"bright_pipeline.{stage}": version for stage in stages}
        monkeypatch.setattr(engine_jobs, "code_digest", lambda roots: code_digest(roots) + versions.get(roots[0], ""))

    return changed


def missing(config: Path = TINY) -> set[str]:
    """Stages of a config that have jobs without results, besides the page: it names accepted results."""
    plan = Jobs(load_config(yaml.safe_load(config.read_text())))
    return {job.stage.name for job in plan(planned).values() if not job.complete} - {"make_report"}


def test_results_count_again_after_accepting_a_change_of_the_code(change: Change, capsys: Captured) -> None:
    accept(TINY)
    assert "nothing to accept" in capsys.readouterr().out
    changed = ("train_autoencoder", "score_features", "make_table")
    change(*changed)
    assert {*changed, "dump_codes", "generate"} <= missing()
    accept(TINY, dry_run=True)
    assert "score_features: 5 of 5 results accepted" in capsys.readouterr().out
    assert not ACCEPTED.exists() and "score_features" in missing()
    accept(TINY)
    assert missing() == set()
    said = capsys.readouterr().out
    for stage, count in zip(changed, (2, 5, 13), strict=True):  # the table of claims is made from other tables
        assert f"{stage}: {count} of {count} results accepted" in said
    assert {key.split()[0] for key in json.loads(ACCEPTED.read_text())} == {*changed}
    change("score_features", version="3")
    assert "score_features" in missing()
    accept(TINY)
    assert missing() == set()
    change(*changed)
    assert missing() == set(), "the first acceptance still holds"


def test_absent_and_later_results_are_not_accepted(change: Change, capsys: Captured) -> None:
    change("score_features")
    finish(tiny_plan())
    accept(TINY)
    shutil.rmtree("results/store/evaluations")
    change("score_features", version="3")
    accept(TINY)
    assert capsys.readouterr().out.count("nothing to accept") == 2
    assert not ACCEPTED.exists()


@pytest.fixture
def retrained(change: Change, tmp_path: Path) -> Path:
    """A config with another learning rate of its diffusion model."""
    config = tmp_path / "changed.yaml"
    config.write_text(TINY.read_text().replace("learning_rate: 1.0e-3", "learning_rate: 2.0e-3"))
    return config


@pytest.mark.parametrize("key", ["learning_rate", "training.learning_rate", "diffusion.training.learning_rate"])
def test_a_named_key_is_accepted_with_all_that_stands_on_it(retrained: Path, key: str, capsys: Captured) -> None:
    assert {"train_diffusion", "generate"} <= missing(retrained)
    accept(retrained, keys=[key], dry_run=True)
    said = capsys.readouterr().out
    assert "train_diffusion: 1 of 1 results accepted" in said and said.endswith("dry run: nothing was recorded\n")
    assert not ACCEPTED.exists()
    accept(retrained, keys=[key])
    assert "train_diffusion: 1 of 1 results accepted" in capsys.readouterr().out
    assert missing(retrained) == set()
    assert {entry.split()[0] for entry in json.loads(ACCEPTED.read_text())} == {"train_diffusion"}
    plan = Jobs(load_config(yaml.safe_load(retrained.read_text())))
    assert plan(page).settings["accepted"] == {f"train_diffusion {plan(diffusion, 'main').digest}": f"code, {key}"}
    assert missing() == set(), "the config of before has its results as before"


def test_only_changes_of_the_named_keys_and_of_the_code_are_accepted(change, retrained, capsys) -> None:
    text = retrained.read_text()
    for keys in ([], ["batch"], ["training.steps"], ["diffusion.learning_rate"], ["rate"], ["training"], ["diffusion"]):
        accept(retrained, keys=keys)
        where = f"the code or in {keys[0]}" if keys else "the code"
        assert f"nothing to accept: no results differ from the wanted ones in {where}" in capsys.readouterr().out
    retrained.write_text(text.replace("ema_decay: 0.9", "ema_decay: 0.8"))
    accept(retrained, keys=["learning_rate"])
    assert not ACCEPTED.exists()
    accept(retrained, keys=["learning_rate", "ema_decay"])
    assert missing(retrained) == set()
    retrained.write_text(text)
    change("train_diffusion")
    accept(retrained, keys=["learning_rate"])
    assert missing(retrained) == set()


@pytest.mark.parametrize(
    ("make", "entry", "key", "value", "accepted"),
    [
        (autoencoder, "main", "autoencoders.main.code_noise", "before_tiling", "autoencoder"),
        (dataset, "tiny", "datasets.tiny.source.name", "openclipart", "source"),
    ],
)
def test_whole_sections_and_contents_of_files_are_never_accepted(own_folder, make, entry, key, value, accepted) -> None:
    """The file may come with a clone: weights of another model, or other images, do not become this entry's."""
    before = tiny_plan()(make, entry)
    finish(tiny_plan())
    wanted = tiny_plan(with_key(key, value))(make, entry)
    ACCEPTED.write_text(
        json.dumps({f"{wanted.stage.name} {wanted.digest}": {"digest": before.digest, "keys": [accepted]}})
    )
    assert tiny_plan(with_key(key, value))(make, entry).digest == wanted.digest != before.digest


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


def test_saved_states_stay_while_their_training_runs_or_is_not_done(other: Path, capsys: Captured) -> None:
    """A training that runs has a lock, which a second checkout on the same results holds too."""
    job = tiny_plan(OTHER)(autoencoder, "main")
    held = lock_work_folder(job.work)
    finished, killed = (tiny_plan()(autoencoder, name) for name in ("main", "without-noise"))
    for one in (finished, killed):
        one.work.mkdir(parents=True)
    shutil.rmtree(killed.folder)
    prune([TINY, other], yes=True)
    assert capsys.readouterr().out.splitlines()[-1] == "0 B in 1 folders removed"
    assert not finished.work.exists() and killed.work.exists()
    prune([TINY], yes=True)
    assert job.work.is_dir()
    held.close()
    prune([TINY], yes=True)
    assert not job.work.exists()


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOLCK, "No locks available"), None], ids=["refused", "without effect"]
)
def test_without_locks_nothing_is_removed(other: Path, monkeypatch: pytest.MonkeyPatch, error: OSError | None) -> None:
    """On such a file system, results that another checkout uses count as used by nobody."""

    def lock(*_: Any) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr("fcntl.lockf", lock)
    with pytest.raises(InputError, match="file locks do not hold on this file system"):
        prune([TINY], yes=True)
    assert complete(1)


@pytest.mark.parametrize("section", ["datasets", "autoencoders"])
def test_a_config_without_digests_is_refused(other: Path, section: str) -> None:
    values = tiny_values()
    if section == "datasets":
        entry, lacks = "datasets.tiny", "raw images"
        values["datasets"]["tiny"]["source"] = {"kind": "folder", "path": "nowhere"}
    else:
        entry, lacks = "autoencoders.released", "checkpoint"
        weights = {"kind": "ldm_vq", "path": "nowhere.ckpt"}
        released = {"family": "vqgan", "dataset": "tiny", "code_size": "4x4x2", "weights": weights}
        values["autoencoders"]["released"] = released
        values["tables"]["table2"] += ["released"]
    Path("unknown.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=rf"unknown.yaml: {entry}: neither its {lacks} nor"):
        prune([Path("unknown.yaml"), TINY], yes=True)
    assert complete(0)


def test_sizes_are_readable() -> None:
    assert [readable_bytes(size) for size in (0, 999, 1500, 3.2e9, 5e15)] == ["0 B", "999 B", "2 kB", "3 GB", "5000 TB"]


def test_only_yes_removes_what_is_listed_with_its_records_and_not_during_a_run(other: Path, capsys: Captured) -> None:
    folder = tiny_plan()(autoencoder, "main").folder
    folder.rename(folder.with_name(f"first-{folder.name.rpartition('-')[2]}"))
    prune([TINY, other])
    assert capsys.readouterr().out == "nothing to remove\n"
    job = tiny_plan(OTHER)(autoencoder, "main")
    job.work.mkdir(parents=True)
    dvc_file(job.folder).touch()
    prune([TINY])
    *lines, last = capsys.readouterr().out.splitlines()
    assert any(line.endswith(str(job.folder)) and "6 B" in line for line in lines)
    assert any(line.endswith(str(job.work)) for line in lines)
    assert not any("results/store/datasets" in line for line in lines), "both runs have the dataset"
    assert f"in {len(lines)} folders; --yes removes them" in last
    lock = LOCKS / "0.input.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    with pytest.raises(InputError, match="a run is active here"):
        prune([TINY], yes=True)
    lock.unlink()
    assert complete(1) and identity_path(*job.key).exists()
    prune([TINY], yes=True)
    assert not any(path.exists() for path in (job.folder, job.work, dvc_file(job.folder), identity_path(*job.key)))
    assert complete(0) and not complete(1)
