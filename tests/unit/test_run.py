"""The jobs that the command line names, and the checks before the first job of a run."""

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
from pipeline.plan.damage import check_identities
from pipeline.plan.publish import publish
from pipeline.plan.run import find_job, output_of, wanted
from pipeline.plan.shards import planned, targets, view
from pipeline.stages.autoencoders import autoencoder, reconstruction
from pipeline.stages.common import Job, Jobs
from pipeline.stages.evaluation import neighbours
from pipeline.stages.figures import figures
from pipeline.stages.generation import samples
from pipeline.stages.page import page
from pipeline.stages.store import identity_path
from pipeline.stages.tables import tables


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


def test_a_path_in_the_run_or_the_store_names_its_output(jobs: Jobs) -> None:
    for place, output in jobs(view).items():
        assert output_of(jobs, place) == output_of(jobs, output.path) == output
    job = jobs(autoencoder, "main")
    found = output_of(jobs, f"results/store/autoencoders/any-label-{job.digest}/autoencoder.safetensors")
    assert found == job["autoencoder.safetensors"]
    for path in (
        "autoencoder.safetensors",
        "results/store/autoencoders/main-0123456789ab/a",
        f"results/store/codes/main-{job.digest}/codes.safetensors",
        "results/tiny/x.md",
        "",
    ):
        assert output_of(jobs, path) is None


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
    assert claimed_run(tiny_plan(with_key("seed", 1)), "a.yaml") is None, "a changed config keeps its run"
    Path("a.yaml").unlink()
    assert claimed_run(jobs, "b.yaml") is None, "the config was renamed"


def test_a_result_of_something_else_under_the_same_digest_is_refused(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(jobs)
    check_identities(tiny_plan()(planned).values())
    job = jobs(autoencoder, "main")
    other = identity_path(*job.key)
    write_json(other, job.identity | {"settings": {"seed": 123}})
    monkeypatch.setattr("pipeline.plan.damage.digest_of", lambda identity: job.digest)
    with pytest.raises(InputError) as caught:
        check_identities(tiny_plan()(planned).values())
    assert str(caught.value) == (
        f"{job.folder}: was made from something else than autoencoders.main asks for, although the digests are equal"
        f" (see {other}); move the folder and that file away, and run again"
    )
    for output in job.outputs:
        Path(output).unlink()
    check_identities(tiny_plan()(planned).values())  # without the result, its identity does not matter


def test_an_identity_is_written_once_and_a_damaged_one_gets_one_line(jobs: Jobs) -> None:
    finish(jobs)
    path = identity_path(*jobs(autoencoder, "main").key)
    identity = jobs(autoencoder, "main").identity
    assert json.loads(path.read_text()) == identity
    for content, problem in (
        ("{", "not JSON"),
        (json.dumps(identity | {"settings": {"seed": 123}}), f"its content does not have the digest {path.stem[-12:]}"),
    ):
        path.write_text(content)
        publish(jobs, "tiny.yaml")
        assert path.read_text() == content
        with pytest.raises(InputError, match=f"{re.escape(str(path))}: .*{problem}"):
            check_identities(tiny_plan()(planned).values())


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
        with pytest.raises(InputError, match=r"late: its time 2106-02-07 .*Read-only file system\); touch the file"):
            set_back(paths)
    set_back(paths)
    assert early.stat().st_mtime == 1000
    assert abs(late.stat().st_mtime - time.time()) < 60
