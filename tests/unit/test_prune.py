"""Results that no config uses are listed, and removed when that is asked for."""

from pathlib import Path

import pytest
from finished_plan import TINY, finish, tiny_plan, tiny_values

from pipeline import prune as command
from pipeline.base.errors import InputError
from pipeline.commands.prune import readable
from pipeline.plan.identities import identity_path
from pipeline.plan.tracking import dvc_file


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the finished tiny run and a finished run of another seed, whose config this is."""
    monkeypatch.chdir(tmp_path)
    finish(tiny_plan())
    finish(tiny_plan(tiny_values() | {"seed": 1}))
    for plan in (tiny_plan(), tiny_plan(tiny_values() | {"seed": 1})):
        plan.autoencoder("main").work.mkdir(parents=True)
    config = tmp_path / "other.yaml"
    config.write_text(TINY.read_text().replace("run: tiny", "run: tiny\nseed: 1"))
    return config


def complete(seed: int) -> bool:
    return all(job.complete for job in tiny_plan(tiny_values() | {"seed": seed}).jobs.values())


def test_what_any_of_the_configs_uses_is_not_listed(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.prune([TINY, other])
    assert capsys.readouterr().out == "nothing to remove\n"


def test_the_list_has_sizes_and_removes_nothing(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.prune([TINY])
    *lines, last = capsys.readouterr().out.splitlines()
    plan = tiny_plan(tiny_values() | {"seed": 1})
    assert any(line.endswith(str(plan.autoencoder("main").folder)) and "6 B" in line for line in lines)
    assert any(line.endswith(str(plan.autoencoder("main").work)) for line in lines)
    assert not any("results/store/datasets" in line for line in lines), "both runs have the dataset"
    assert f"in {len(lines)} folders; --yes removes them" in last
    assert complete(1)


def test_yes_removes_what_is_listed_and_its_records(other: Path) -> None:
    job = tiny_plan(tiny_values() | {"seed": 1}).autoencoder("main")
    assert identity_path(job.stage, job.digest).exists()
    dvc_file(job.folder).touch()
    command.prune([TINY], yes=True)
    assert not job.folder.exists()
    assert not job.work.exists()
    assert not dvc_file(job.folder).exists()
    assert not identity_path(job.stage, job.digest).exists()
    assert complete(0)
    assert not complete(1)
    assert tiny_plan().autoencoder("main").work.exists()


def test_a_config_whose_digests_cannot_be_known_is_refused(other: Path, tmp_path: Path) -> None:
    unknown = tmp_path / "unknown.yaml"
    text = TINY.read_text().replace("{kind: embedded, name: fashion-mnist}", "{kind: folder, path: nowhere}")
    unknown.write_text(text)
    with pytest.raises(InputError, match=r"unknown.yaml: datasets.tiny.source: neither its raw images nor"):
        command.prune([unknown, TINY], yes=True)
    assert complete(0)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "2 kB"), (3.2e9, "3 GB"), (5e15, "5000 TB")]
)
def test_sizes_are_readable(size: float, text: str) -> None:
    assert readable(size) == text
