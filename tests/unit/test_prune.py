"""Results that no config uses are listed, and removed when that is asked for."""

import shutil
from pathlib import Path

import pytest
import yaml
from finished_plan import TINY, finish, tiny_plan, tiny_values

from pipeline.base.amounts import readable_bytes
from pipeline.base.errors import InputError
from pipeline.base.locks import lock_work_folder
from pipeline.commands import prune as command
from pipeline.plan.dvc import LOCKS, dvc_file
from pipeline.plan.identities import identity_path
from pipeline.plan.shards import planned
from pipeline.stages.autoencoders import autoencoder

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
    command.prune([TINY, other])
    assert capsys.readouterr().out == "nothing to remove\n"
    folder = tiny_plan()(autoencoder, "main").folder
    folder.rename(folder.with_name(f"first-{folder.name.rpartition('-')[2]}"))
    command.prune([TINY, other])
    assert capsys.readouterr().out == "nothing to remove\n"


def test_the_list_removes_nothing_nor_does_yes_during_a_run(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tiny_plan(OTHER)(autoencoder, "main")
    job.work.mkdir(parents=True)
    command.prune([TINY])
    *lines, last = capsys.readouterr().out.splitlines()
    assert any(line.endswith(str(job.folder)) and "6 B" in line for line in lines)
    assert any(line.endswith(str(job.work)) for line in lines)
    assert not any("results/store/datasets" in line for line in lines), "both runs have the dataset"
    assert f"in {len(lines)} folders; --yes removes them" in last
    assert complete(1)
    LOCKS.mkdir(parents=True)
    (LOCKS / "0.input.lock").touch()
    with pytest.raises(InputError, match="a run is active here"):
        command.prune([TINY], yes=True)
    assert complete(1)
    command.prune([TINY])
    assert "--yes removes them" in capsys.readouterr().out


def test_yes_removes_what_is_listed_and_its_records(other: Path) -> None:
    job = tiny_plan(OTHER)(autoencoder, "main")
    assert identity_path(*job.key).exists()
    job.work.mkdir(parents=True)
    dvc_file(job.folder).touch()
    command.prune([TINY], yes=True)
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
    command.prune([TINY], yes=True)
    assert str(job.work) not in capsys.readouterr().out
    assert job.work.is_dir()
    held.close()
    command.prune([TINY], yes=True)
    assert str(job.work) in capsys.readouterr().out
    assert not job.work.exists()


def test_saved_states_stay_while_their_training_is_not_done(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished, killed = (tiny_plan()(autoencoder, name) for name in ("main", "without-noise"))
    for job in (finished, killed):
        job.work.mkdir(parents=True)
    shutil.rmtree(killed.folder)
    command.prune([TINY, other], yes=True)
    assert not finished.work.exists()
    assert killed.work.exists()
    assert capsys.readouterr().out.splitlines()[-1] == "0 B in 1 folders removed"


def test_a_config_whose_digests_cannot_be_known_is_refused(other: Path, tmp_path: Path) -> None:
    unknown = tmp_path / "unknown.yaml"
    text = TINY.read_text().replace("{kind: embedded, name: fashion-mnist}", "{kind: folder, path: nowhere}")
    unknown.write_text(text)
    with pytest.raises(InputError, match=r"unknown.yaml: datasets.tiny: neither its raw images nor"):
        command.prune([unknown, TINY], yes=True)
    assert complete(0)


def test_nor_is_one_with_a_checkpoint_that_nobody_knows(other: Path, tmp_path: Path) -> None:
    unknown = tmp_path / "unknown.yaml"
    values = tiny_values()
    values["autoencoders"]["released"] = {
        "family": "vqgan",
        "dataset": "tiny",
        "code_size": "4x4x2",
        "weights": {"kind": "ldm_vq", "path": "nowhere.ckpt"},
    }
    values["tables"]["table2"] += ["released"]
    unknown.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=r"unknown.yaml: autoencoders.released: neither its checkpoint nor"):
        command.prune([unknown, TINY], yes=True)
    assert complete(0)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "2 kB"), (3.2e9, "3 GB"), (5e15, "5000 TB")]
)
def test_sizes_are_readable(size: float, text: str) -> None:
    assert readable_bytes(size) == text
