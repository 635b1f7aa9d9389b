"""The jobs of a run: found by their digests or named by its targets; a missing file is made alone or reported."""

import errno
import json
import os
import re
import shutil
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.engine.atomic import write_json
from bright_pipeline.engine.checks import lost_models, touch_future_files, trainings_behind
from bright_pipeline.engine.damage import check_identities
from bright_pipeline.engine.jobs import Job, closure, planned, targets
from bright_pipeline.engine.run import Needed, find_job, forced, output_of, outputs_of, unfinished, wanted
from bright_pipeline.engine.shards import view
from bright_pipeline.engine.store import Store, identity_path
from bright_pipeline.plan.checks import name_clash, obstacles
from bright_pipeline.plan.publish import publish
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.figures import figures
from bright_pipeline.stages.generation import diffusion, samples
from bright_pipeline.stages.measurements import reconstruction
from bright_pipeline.stages.page import page
from bright_pipeline.stages.tables import tables
from finished_plan import finish, make, tiny_plan, tiny_values, with_key

pytestmark = pytest.mark.usefixtures("own_folder")

DIGEST = "0123456789ab"


@pytest.mark.parametrize(
    ("folders", "name"),
    [
        ({}, "new"),
        *(({old: []}, old) for old in ("old", "a-b-c", "v1.5", "")),
        ({"a": ["weights"], "b": ["weights", "history"], "c": ["history"]}, "b"),  # the folder with most files
    ],
)
def test_a_folder_is_found_by_its_digest(folders: dict[str, list[str]], name: str) -> None:
    for label, files in folders.items():
        folder = Path(f"store/models/{label}-{DIGEST}")
        folder.mkdir(parents=True)
        for file in files:
            (folder / file).touch()
    store = Store(Path("store"))
    assert store.name("models", "new", DIGEST) == f"{name}-{DIGEST}"
    assert store.name("models", "second", DIGEST) == f"{name}-{DIGEST}", "two jobs of one digest have one folder"


def test_a_folder_that_is_not_pulled_yet_has_its_name_and_a_later_file_is_seen_after_forget() -> None:
    folder, store = Path("store/models/a-0"), Store(Path("store"))
    folder.mkdir(parents=True)
    Path(f"store/models/old-{DIGEST}.dvc").touch()
    assert store.name("models", "new", DIGEST) == f"old-{DIGEST}"
    for file, seen in (("weights", {"weights"}), ("history", {"weights"})):
        (folder / file).touch()
        assert store.files(folder) == seen
    store.forget()
    assert store.files(folder) == {"weights", "history"}


@pytest.mark.parametrize("shards", [12, 400])
def test_each_folder_is_read_once_however_many_files_are_asked_for(shards: int) -> None:
    values = with_key("samples.main.shard", 1)
    values["samples"]["main"]["count"] = shards
    values["evaluation"]["shard"] = 1
    values["tables"] |= {"text_10k": {"rows": ["main"], "count": 12}, "table5": {"rows": ["main"]}}
    jobs = tiny_plan(values)
    make(jobs(planned).values())
    of_samples = jobs(samples, "main").outputs
    assert len(of_samples) == shards
    Path(of_samples[-1]).unlink()
    jobs = tiny_plan(values)
    with ExitStack() as stack:
        ways = ("iterdir", "glob", "rglob", "exists", "is_file", "is_dir", "stat", "lstat", "open")
        spied = [patch.object(Path, way, autospec=True, side_effect=getattr(Path, way)) for way in ways]
        spies = [stack.enter_context(spy) for spy in spied]
        (shard,) = unfinished(jobs).shards.values()
        assert shard.outputs == of_samples[-1:]
        assert all(one.complete for one in jobs(planned).values() if one is not shard.job)
    places = [call.args[0] for spy in spies for call in spy.call_args_list]
    looks = Counter(str(place) for place in places if "store" in place.parts)
    folders = {str(job.folder) for job in jobs(planned).values()}
    sections = {str(job.folder.parent) for job in jobs(planned).values()}
    of_missing_networks = {place for place in looks if place.startswith("results/store/evaluations/")} - folders
    assert looks.keys() - of_missing_networks == folders | sections
    assert set(looks.values()) == {1}


def values() -> dict[str, Any]:
    return with_key("samples.main.shard", 8)


@pytest.fixture
def finished(own_folder: Path) -> Jobs:
    """A finished plan in a temporary folder."""
    make(tiny_plan(values())(planned).values())
    return tiny_plan(values())


def lose(job: Job, *files: str) -> None:
    """Remove these files of a job, by default its folder."""
    for file in files:
        Path(job.path(file)).unlink()
    if not files:
        shutil.rmtree(job.folder)


def remake(*names: str) -> Needed:
    """The shards that a new run of these targets makes."""
    return Needed(wanted(tiny_plan(values()), names))


def stages(needed: Needed) -> list[str]:
    return sorted({job.stage.name for job in needed.jobs})


def test_upstream_of_existing_results_nothing_is_made(finished: Jobs) -> None:
    assert not remake().shards
    lose(finished(autoencoder, "main"), "autoencoder.preview.png", "autoencoder.history.csv")
    assert not remake().shards, "no pending job reads these files"
    results = {job.key for job in finished(targets)}
    for job in finished(planned).values():
        if job.key not in results:
            shutil.rmtree(job.folder)
    assert not remake().shards


def test_weights_alone_are_a_trained_model(own_folder: Path) -> None:
    jobs = tiny_plan()
    assert {job.key for job in unfinished(jobs).jobs} == jobs(planned).keys()
    assert not lost_models(unfinished(jobs))
    trained = tiny_plan(values())(autoencoder, "main")
    trained.folder.mkdir(parents=True)
    Path(trained.path("autoencoder.safetensors")).touch()
    needed = remake("table2")
    assert stages(needed) == ["extract_features", "make_table", "prepare_dataset", "reconstruct", "score_features"]
    assert not lost_models(needed)


def test_a_lost_history_that_a_figure_needs_gets_one_line(finished: Jobs) -> None:
    trained = finished(autoencoder, "main")
    lose(trained, "autoencoder.history.csv")
    lose(finished(figures)["curves_autoencoders"])
    needed, jobs = remake("figures"), tiny_plan(values())
    (line,) = lost_models(needed)
    assert line.startswith(
        f"autoencoders.main: autoencoder.history.csv is missing in {trained.folder}, while its weights"
    )
    assert f"dvc pull {trained.folder}" in line and line.endswith("snakemake --forcerun train_autoencoder")
    assert line in obstacles(jobs, needed), "the run stops before its first job"
    assert not lost_models(Needed(wanted(jobs, []), forced(jobs, ["train_autoencoder"])))


def test_a_lost_shard_is_made_alone_where_its_model_is(finished: Jobs) -> None:
    made = finished(samples, "main")
    lose(made, made.files[1])
    (shard,) = remake().shards.values()
    assert (shard.job.key, shard.span) == (made.key, (8, 16))
    assert not lost_models(remake())
    lose(made, made.files[0])
    first, second = (needed := remake()).shards.values()
    kept = needed.among([first])
    assert first in kept and second not in kept and [job.key for job in kept.jobs] == [made.key]


@pytest.mark.parametrize("also", [False, True], ids=["the model alone", "the model and its codes"])
def test_a_lost_shard_whose_model_is_absent_gets_a_line_and_no_training(finished: Jobs, also: bool) -> None:
    made, model = finished(samples, "main"), finished(diffusion, "main")
    lose(made, made.files[1])
    lose(model)
    if also:
        lose(next(job for job in model.upstream if job.stage.name == "dump_codes"))
    needed = remake()
    (line,) = lost_models(needed)
    assert line.startswith(
        f"samples.main: {made.files[1]} is missing in {made.folder}, and making it takes diffusions.main"
    )
    assert f"dvc pull {model.folder}" in line and line.endswith("snakemake --forcerun train_diffusion")
    assert line in obstacles(tiny_plan(values()), needed), "the run stops before its first job"


def test_a_whole_set_whose_model_is_absent_is_made_with_all_it_needs(finished: Jobs) -> None:
    made, model = finished(samples, "main"), finished(diffusion, "main")
    lose(made)
    lose(model)
    needed = remake()
    assert stages(needed) == ["generate", "train_diffusion"]
    assert not lost_models(needed), "nothing of it was there"
    assert [job.key for job in trainings_behind(needed, made)] == [model.key]


def test_a_forced_stage_is_made_again_with_everything_downstream(finished: Jobs) -> None:
    jobs = tiny_plan(values())
    again = forced(jobs, ["train_diffusion"])
    needed = Needed(wanted(jobs, []), again)
    model = jobs(diffusion, "main")
    assert again == {model.key}
    downstream = {job.key for job in jobs(planned).values() if model.key in {one.key for one in closure([job])}}
    assert {job.key for job in needed.jobs} == downstream
    assert jobs(reconstruction, "main").key not in downstream
    shards = [shard.span for shard in needed.shards.values() if shard.job.key == jobs(samples, "main").key]
    assert sorted(shards, key=str) == [(0, 8), (16, 24), (24, 32), (8, 16)]
    made = jobs(samples, "main")
    assert [output.path for output in outputs_of([made])] == made.outputs
    assert forced(jobs, [made.outputs[0]]) == {made.key}
    assert forced(jobs, ["results/tiny/tables/table2.md"]) == set(), "copying again makes no table again"


# The jobs that the command line names, and the checks before the first job of a run.


@pytest.fixture
def jobs(own_folder: Path) -> Jobs:
    """A plan in a temporary folder."""
    return tiny_plan()


def outputs(*jobs: Job) -> set[str]:
    return {path for job in jobs for path in job.outputs}


def test_a_target_names_a_group_of_results_a_table_or_a_file(jobs: Jobs) -> None:
    made, shard = jobs(tables), jobs(samples, "main").outputs[1]
    main = (jobs(reconstruction, "main"), made["table5"], jobs(figures)["fig09"])
    everything = outputs(*jobs(targets))
    for names, expected in {
        (): everything,
        ("all",): everything,
        ("a-typing-error",): everything,  # Snakemake itself reports it
        ("table2",): outputs(made["table2"]),
        ("claims",): outputs(made["claims"]),
        ("tables",): outputs(*made.values()),
        ("figures",): outputs(*jobs(figures).values()),
        ("page",): outputs(jobs(page)),
        ("headline",): outputs(*main),
        ("headline", "table2"): outputs(*main, made["table2"]),
        (shard,): {shard},
        ("results/tiny/tables/table2.md",): {made["table2"].path("table.md")},
    }.items():
        assert {output.path for output in wanted(jobs, names)} == expected, names


def test_a_path_in_the_run_or_the_store_or_a_digest_names_a_job(jobs: Jobs) -> None:
    for place, output in jobs(view).items():
        assert output_of(jobs, place) == output_of(jobs, output.path) == output
    job = jobs(autoencoder, "main")
    assert find_job(jobs, job.digest) is job
    with pytest.raises(InputError, match="digest 000000000000 is of no job of this config"):
        find_job(jobs, "0" * 12)
    found = output_of(jobs, f"results/store/autoencoders/any-label-{job.digest}/autoencoder.safetensors")
    assert found == job["autoencoder.safetensors"]
    elsewhere = ("autoencoders/main-0123456789ab/a", f"codes/main-{job.digest}/codes.safetensors")
    for path in ("autoencoder.safetensors", *(f"results/store/{one}" for one in elsewhere), "results/tiny/x.md", ""):
        assert output_of(jobs, path) is None


def test_a_run_is_of_one_config(jobs: Jobs) -> None:
    Path("a.yaml").touch()
    assert name_clash(jobs, "b.yaml") is None, "there is no run yet"
    finish(jobs)
    publish(jobs, "a.yaml")
    assert name_clash(jobs, "a.yaml") is None
    clash = name_clash(jobs, "b.yaml") or ""
    assert clash.startswith("run: results/tiny is the run of a.yaml, not of b.yaml; give one of them another name")
    assert name_clash(tiny_plan(tiny_values() | {"run": "other"}), "b.yaml") is None
    assert name_clash(tiny_plan(with_key("seed", 1)), "a.yaml") is None, "a changed config keeps its run"
    Path("a.yaml").unlink()
    assert name_clash(jobs, "b.yaml") is None, "the config was renamed"


def test_a_result_of_something_else_under_the_same_digest_is_refused(jobs, monkeypatch) -> None:
    finish(jobs)
    check_identities(tiny_plan()(planned).values())
    job = jobs(autoencoder, "main")
    other = identity_path(*job.key)
    write_json(other, job.identity | {"settings": {"seed": 123}})
    monkeypatch.setattr("bright_pipeline.engine.damage.digest_of", lambda identity: job.digest)
    line = rf"^{job.folder}: .* something else than autoencoders\.main asks for, .*{other}\); move the folder"
    with pytest.raises(InputError, match=line):
        check_identities(tiny_plan()(planned).values())
    shutil.rmtree(job.folder)
    check_identities(tiny_plan()(planned).values())  # without the result, its identity does not matter


def test_an_identity_is_written_once_and_a_damaged_one_gets_one_line(jobs: Jobs) -> None:
    finish(jobs)
    path = identity_path(*jobs(autoencoder, "main").key)
    identity = jobs(autoencoder, "main").identity
    recorded = json.loads(path.read_text())
    modules = recorded.pop("made_by")["modules"]
    assert recorded == identity and "bright_pipeline.training.loop" in modules
    for content, problem in (
        ("{", "not JSON"),
        (json.dumps(identity | {"settings": {"seed": 123}}), f"its content does not have the digest {path.stem[-12:]}"),
    ):
        path.write_text(content)
        publish(jobs, "tiny.yaml")
        assert path.read_text() == content
        with pytest.raises(InputError, match=f"{re.escape(str(path))}: .*{problem}"):
            check_identities(tiny_plan()(planned).values())


def test_only_times_in_the_future_are_touch_future_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    early, late = tmp_path / "early", tmp_path / "late"
    for path, modified in ((early, 1000), (late, 2**32)):
        path.write_text("content")
        os.utime(path, (modified, modified))
    paths = [str(early), str(late), str(late), str(tmp_path / "missing")]

    def refuse(path: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", refuse)
        with pytest.raises(InputError, match=r"late: its time 2106-02-07 .*Read-only file system\); touch the file"):
            touch_future_files(paths)
    touch_future_files(paths)
    assert early.stat().st_mtime == 1000
    assert abs(late.stat().st_mtime - time.time()) < 60
