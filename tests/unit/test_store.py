"""The store: folders are found by their digests, and each is read once."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from finished_plan import make, tiny_plan, with_key

from pipeline.plan.run import unfinished
from pipeline.plan.shards import planned
from pipeline.stages.autoencoders import autoencoder
from pipeline.stages.generation import samples
from pipeline.stages.store import Store

pytestmark = pytest.mark.usefixtures("own_folder")

DIGEST = "0123456789ab"


def folder(name: str, *files: str) -> Path:
    """A folder of the store with these files."""
    place = Path("store/models") / name
    place.mkdir(parents=True)
    for file in files:
        (place / file).touch()
    return place


@pytest.mark.parametrize(
    ("folders", "name"),
    [
        ({}, "new"),
        *(({old: []}, old) for old in ("old", "a-b-c", "v1.5", "")),
        ({"a": ["weights"], "b": ["weights", "history"], "c": ["history"]}, "b"),  # the one with most files
    ],
)
def test_a_folder_is_found_by_its_digest(folders: dict[str, list[str]], name: str) -> None:
    for label, files in folders.items():
        folder(f"{label}-{DIGEST}", *files)
    store = Store(Path("store"))
    assert store.name("models", "new", DIGEST) == f"{name}-{DIGEST}"
    assert store.name("models", "second", DIGEST) == f"{name}-{DIGEST}", "two jobs of one digest have one folder"


def test_a_folder_that_is_not_pulled_yet_has_its_name() -> None:
    Path("store/models").mkdir(parents=True)
    Path(f"store/models/old-{DIGEST}.dvc").touch()
    assert Store(Path("store")).name("models", "new", DIGEST) == f"old-{DIGEST}"


def test_a_later_file_is_seen_after_forget() -> None:
    place, store = folder(f"a-{DIGEST}", "weights"), Store(Path("store"))
    assert store.files(place) == {"weights"}
    (place / "history").touch()
    assert store.files(place) == {"weights"}
    store.forget()
    assert store.files(place) == {"weights", "history"}


def test_a_renamed_folder_still_belongs_to_its_job() -> None:
    make(tiny_plan()(planned).values())
    old = tiny_plan()(autoencoder, "main").folder
    new = old.rename(old.with_name(f"by-hand-{old.name.rpartition('-')[2]}"))
    job = tiny_plan()(autoencoder, "main")
    assert job.folder == new and job.complete
    assert not unfinished(tiny_plan()).shards


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each place of results/store is looked at, in any way that pathlib has."""
    found: Counter[str] = Counter()

    def counted(name: str) -> None:
        usual = getattr(Path, name)

        def look(path: Path, *args: object, **kwargs: object) -> object:
            if "store" in path.parts:
                found[str(path)] += 1
            return usual(path, *args, **kwargs)

        monkeypatch.setattr(Path, name, look)

    for name in ("iterdir", "glob", "rglob", "exists", "is_file", "is_dir", "stat", "lstat", "open"):
        counted(name)
    yield found


@pytest.mark.parametrize("shards", [4, 400])
def test_each_folder_is_read_once_however_many_files_are_asked_for(shards: int, looks: Counter[str]) -> None:
    values = with_key("samples.main.shard", 1)
    values["samples"]["main"]["count"] = shards
    values["evaluation"]["shard"] = 1
    values["tables"]["text_10k"]["count"] = 4
    jobs = tiny_plan(values)
    make(jobs(planned).values())
    of_samples = jobs(samples, "main").outputs
    assert len(of_samples) == shards
    Path(of_samples[-1]).unlink()
    looks.clear()
    jobs = tiny_plan(values)
    (shard,) = unfinished(jobs).shards.values()
    assert shard.outputs == of_samples[-1:]
    assert all(one.complete for one in jobs(planned).values() if one is not shard.job)
    folders = {str(job.folder) for job in jobs(planned).values()}
    sections = {str(job.folder.parent) for job in jobs(planned).values()}
    of_missing_networks = {place for place in looks if place.startswith("results/store/evaluations/")} - folders
    assert looks.keys() - of_missing_networks == folders | sections
    assert set(looks.values()) == {1}
