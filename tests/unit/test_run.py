"""Which jobs people name on the command line, and what stops a run before its first job."""

import errno
import json
import os
import re
import time
from pathlib import Path

import pytest
from finished_plan import finish, make, tiny_plan, tiny_values, with_key

from pipeline.base.atomic import write_json
from pipeline.base.errors import InputError
from pipeline.plan.checks import claimed_run, set_back
from pipeline.plan.identities import check_identities, identity_path
from pipeline.plan.publish import publish
from pipeline.plan.run import find_job, headline, output_of, outputs_of, wanted
from pipeline.plan.shards import planned, targets
from pipeline.plan.view import view
from pipeline.stages.autoencoders import autoencoder, reconstruction
from pipeline.stages.common import ACCEPTED, Jobs
from pipeline.stages.evaluation import neighbours
from pipeline.stages.figures import figures
from pipeline.stages.generation import samples
from pipeline.stages.page import page
from pipeline.stages.tables import tables


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """A plan in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tiny_plan()


def paths(jobs: Jobs, *names: str) -> set[str]:
    """The files that these targets stand for."""
    return {output.path for output in wanted(jobs, names)}


def test_no_target_is_every_result(jobs: Jobs) -> None:
    every = {output.path for output in outputs_of(jobs(targets))}
    assert paths(jobs) == paths(jobs, "all") == every


@pytest.mark.parametrize("name", ["table2", "claims", "text_10k"])
def test_a_tables_name_is_that_table(jobs: Jobs, name: str) -> None:
    assert paths(jobs, name) == set(jobs(tables)[name].outputs)


def test_groups_are_what_their_rules_say(jobs: Jobs) -> None:
    assert paths(jobs, "tables") == {path for job in jobs(tables).values() for path in job.outputs}
    assert paths(jobs, "figures") == {path for job in jobs(figures).values() for path in job.outputs}
    assert paths(jobs, "page") == set(jobs(page).outputs)
    main = [jobs(reconstruction, "main"), jobs(tables)["table5"], jobs(figures)["fig09"]]
    assert {job.key for job in headline(jobs)} == {job.key for job in main}
    assert paths(jobs, "headline", "table2") == {
        path for job in (*main, jobs(tables)["table2"]) for path in job.outputs
    }


def test_a_file_is_that_file_alone(jobs: Jobs) -> None:
    shard = jobs(samples, "main").outputs[1]
    assert paths(jobs, shard) == {shard}
    assert paths(jobs, "results/tiny/tables/table2.md") == {jobs(tables)["table2"].path("table.md")}


def test_what_is_unknown_is_no_reason_to_make_less(jobs: Jobs) -> None:
    """Snakemake itself complains about it, with its own words, or knows better."""
    assert paths(jobs, "nothing-of-that-name") == paths(jobs)


def test_every_published_path_names_its_file_of_the_store(jobs: Jobs) -> None:
    for place, output in jobs(view).items():
        assert output_of(jobs, place) == output
        assert output_of(jobs, output.path) == output


def test_a_file_of_the_store_is_known_by_its_digest_whatever_stands_before_it(jobs: Jobs) -> None:
    job = jobs(autoencoder, "main")
    found = output_of(jobs, f"results/store/autoencoders/any-name-{job.digest}/autoencoder.safetensors")
    assert found == job["autoencoder.safetensors"]


@pytest.mark.parametrize(
    "path", ["autoencoder.safetensors", "results/store/autoencoders/main-0123456789ab/a", "results/tiny/x.md", ""]
)
def test_other_paths_name_no_file_of_this_config(jobs: Jobs, path: str) -> None:
    assert output_of(jobs, path) is None


def test_a_digest_of_another_folder_names_no_file(jobs: Jobs) -> None:
    digest = jobs(autoencoder, "main").digest
    assert output_of(jobs, f"results/store/codes/main-{digest}/codes.safetensors") is None


def test_a_job_is_found_by_its_digest(jobs: Jobs) -> None:
    job = jobs(neighbours, "main")
    assert find_job(jobs, job.digest) is job
    with pytest.raises(InputError, match="digest 000000000000 is of no job of this config"):
        find_job(jobs, "0" * 12)


def test_a_run_is_of_one_config(jobs: Jobs) -> None:
    Path("a.yaml").touch()
    assert claimed_run(jobs, "b.yaml") is None, "there is no run yet"
    make(jobs(planned).values())
    publish(jobs, "a.yaml")
    assert claimed_run(jobs, "a.yaml") is None
    assert claimed_run(jobs, "b.yaml") == (
        "run: results/tiny is the run of a.yaml, not of b.yaml; give one of them another name"
        " (or remove results/tiny/config.yaml)"
    )
    assert claimed_run(tiny_plan(tiny_values() | {"run": "other"}), "b.yaml") is None
    Path("a.yaml").unlink()
    assert claimed_run(jobs, "b.yaml") is None, "the config was renamed"


def test_a_changed_config_keeps_its_run(jobs: Jobs) -> None:
    Path("a.yaml").touch()
    make(jobs(planned).values())
    publish(jobs, "a.yaml")
    assert claimed_run(tiny_plan(with_key("seed", 1)), "a.yaml") is None


def test_results_of_the_jobs_that_they_are_used_for_pass(jobs: Jobs) -> None:
    finish(jobs)
    check_identities(tiny_plan()(planned).values())


def test_a_result_of_something_else_under_the_same_digest_is_refused(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(jobs)
    job = jobs(autoencoder, "main")
    other = identity_path(*job.key)
    write_json(other, job.identity | {"settings": {"seed": 123}})
    monkeypatch.setattr("pipeline.plan.identities.digest_of", lambda identity: job.digest)
    with pytest.raises(InputError) as caught:
        check_identities(tiny_plan()(planned).values())
    assert str(caught.value) == (
        f"{job.folder}: was made from something else than autoencoders.main asks for, although the digests are equal"
        f" (see {other}); move the folder and that file away, and run again"
    )


def test_what_something_else_was_made_from_is_no_matter_once_it_is_gone(jobs: Jobs) -> None:
    finish(jobs)
    job = jobs(autoencoder, "main")
    write_json(identity_path(*job.key), job.identity | {"settings": {"seed": 123}})
    for output in job.outputs:
        Path(output).unlink()
    check_identities(tiny_plan()(planned).values())


def test_accepted_results_were_made_from_something_else_and_pass(jobs: Jobs) -> None:
    finish(jobs)
    job = jobs(autoencoder, "main")
    changed = tiny_plan(with_key("autoencoders.main.training.learning_rate", 0.5))(autoencoder, "main")
    write_json(ACCEPTED, {f"train_autoencoder {changed.digest}": job.digest})
    accepting = tiny_plan(with_key("autoencoders.main.training.learning_rate", 0.5))
    assert accepting(autoencoder, "main").digest == job.digest
    check_identities(accepting(planned).values())


def test_a_damaged_record_gets_one_line(jobs: Jobs) -> None:
    finish(jobs)
    path = identity_path(*jobs(autoencoder, "main").key)
    path.write_text("{")
    with pytest.raises(InputError, match=re.escape(f"{path}: not JSON")):
        check_identities(tiny_plan()(planned).values())
    write_json(path, jobs(autoencoder, "main").identity | {"settings": {"seed": 123}})
    with pytest.raises(
        InputError, match=re.escape(f"{path}: damaged: its content does not have the digest {path.stem[-12:]}")
    ):
        check_identities(tiny_plan()(planned).values())


def test_what_a_result_was_made_from_is_written_once(jobs: Jobs) -> None:
    finish(jobs)
    path = identity_path(*jobs(autoencoder, "main").key)
    assert json.loads(path.read_text()) == jobs(autoencoder, "main").identity
    path.write_text('{"kept": "as it is"}')
    publish(jobs, "tiny.yaml")
    assert path.read_text() == '{"kept": "as it is"}'


def test_only_times_in_the_future_are_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    early, late = tmp_path / "early", tmp_path / "late"
    for path, modified in ((early, 1000), (late, 2**32)):
        path.write_text("content")
        os.utime(path, (modified, modified))
    paths = [str(early), str(late), str(late), str(tmp_path / "missing")]

    def refuse(path: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", refuse)
        with pytest.raises(
            InputError, match=r"late: its time 2106-02-07 .*Read-only file system\); touch the file, or"
        ):
            set_back(paths)
    set_back(paths)
    assert early.stat().st_mtime == 1000
    assert abs(late.stat().st_mtime - time.time()) < 60
