"""Content decides, not clocks: what runs again after a change, a loss or an edit during the run, or if asked for."""

import base64
import os
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from builds import no_gpu
from daemons import wait_for
from tiny_workflow import AFTER_DIFFUSION, AFTER_METRICS, REPOSITORY, Workflow, empty_workflow

TABLE, TABLE5 = "results/tiny/tables/table2.md", "results/store/tables/table5-*"
EDITED = "pipeline/bright_pipeline/evaluation/metrics.py"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_clocks_and_snakemakes_records_do_not_matter(play: Workflow) -> None:
    started = time.monotonic()
    assert play.run().nothing_to_do and time.monotonic() < started + 15
    play.with_own_networks()
    for path in files(play.folder):
        path.touch()
    assert play.run().nothing_to_do, "after touching every file"

    generator = random.Random(0)
    for path in files(play.folder):  # listed again: Snakemake removes files of an unfinished run
        moment = 1.6e9 + generator.random() * 1e8
        os.utime(path, (moment, moment))
    assert play.run().nothing_to_do, "after shuffling all mtimes"

    shutil.rmtree(play.folder / ".snakemake")
    assert play.run().nothing_to_do, "after deleting .snakemake"

    # As after a pull from a machine whose clock is ahead: Snakemake alone would end each job that reads them.
    remade = play.files("results/store/reconstructions")
    ahead = time.time() + 10 * 365 * 24 * 3600
    for path in files(play.folder / "results"):
        os.utime(path, (ahead, ahead))
    play.remove("results/store/reconstructions/*/*", "results/store/tables/table4-*")
    assert play.run("table4").jobs == {"reconstruct": 3, "make_table": 1, "table4": 1}
    assert play.files("results/store/reconstructions") == remade
    assert play.run("table4").nothing_to_do


def test_a_change_of_code_reruns_the_stages_that_use_it(changeable: Workflow) -> None:
    for file in (
        "pipeline/bright_pipeline/models/bright.py",
        "pipeline/bright_pipeline/training/loop.py",
        "pipeline/bright_pipeline/data/prepare.py",
    ):
        path = changeable.checkout / file
        text = path.read_text()
        start = text.index('"""') + 3
        path.write_text(text[:start] + "Another word. " + text[start:] + "\n\n# A remark.\n")
    assert changeable.run("-n").nothing_to_do, "comments and docstrings"
    changeable.add_number("pipeline/bright_pipeline/evaluation/metrics.py")
    assert changeable.run("-n").jobs == AFTER_METRICS
    changeable.add_number("pipeline/bright_pipeline/training/loop.py")
    jobs = changeable.run("-n").jobs
    assert (jobs["train_autoencoder"], jobs["train_diffusion"]) == (2, 1)
    assert not jobs.keys() & {"prepare_dataset", "complexity"}


def test_a_changed_key_reruns_what_depends_on_it_and_changed_back_nothing(play: Workflow) -> None:
    table = play.folder / "results/tiny/tables/table2.md"
    before = table.read_bytes()

    def set_to(rate: float, rows: list[str]) -> None:
        def change(config: dict) -> None:
            config["diffusions"]["main"]["training"]["learning_rate"] = rate
            config["tables"]["table2"] = rows

        play.configure(change)

    set_to(2e-3, ["main"])
    assert play.run("-n").jobs == AFTER_DIFFUSION
    set_to(1e-3, ["without-noise"])
    rfid = {"extract_features": 1, "score_features": 1}
    assert play.run("table2").jobs == {**rfid, "make_table": 1, "table2": 1}
    assert table.read_bytes() != before
    set_to(1e-3, ["main"])
    assert play.run().nothing_to_do
    assert table.read_bytes() == before


def test_an_edit_during_a_run_reaches_none_of_its_jobs_and_the_next_run(changeable: Workflow) -> None:
    changeable.run("-n")  # this checkout's digests are those of the run that was copied
    before = changeable.files("results/store/evaluations")
    changeable.remove("results/store/features", "results/store/evaluations", TABLE5, "results/logs")
    run = changeable.start("table5", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    logs = changeable.folder / "results" / "logs"
    wait_for(lambda: any(logs.glob("extract_features-*.log")) or run.poll() is not None, 120, "no job began")
    changeable.add_number(EDITED)
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 0, said[-3000:]
    after = changeable.files("results/store/evaluations")
    assert after == {path: before[path] for path in after}
    assert changeable.run("-n", "table5").jobs["score_features"] == 3, "the next run uses the new code"
    assert len(changeable.folders("../code")) == 1
    changeable.run("table5")
    assert len(changeable.folders("../code")) == 2, "and each version has one copy"


def test_a_plan_says_which_edited_modules_make_which_trainings_run_again(changeable: Workflow) -> None:
    assert "train again" not in changeable.run("-n").text
    changeable.add_number("pipeline/bright_pipeline/training/diffusion.py", EDITED)
    (line,) = [line for line in changeable.run("-n").text.splitlines() if "train again" in line]
    assert re.match(
        r"diffusions\.main train again \(they took 0:\d\d:\d\d\), since code was edited: "
        r"bright_pipeline\.training\.diffusion; `bright accept config.yaml --dry-run` shows the lines, ",
        line,
    )
    changeable.python("bright_pipeline.commands", "accept", "config.yaml")
    assert "train again" not in changeable.run("-n").text


def test_accept_shows_the_edited_lines_before_it_records_anything(changeable: Workflow) -> None:
    """A renamed variable and a comment, then an operator, against the copy of the code that made the results."""
    changeable.edit(
        EDITED,
        "    sets = generated.features, reference.features\n",
        "    two = generated.features, reference.features\n",
    )
    changeable.edit(EDITED, "frechet_distance(*sets, library)", "frechet_distance(*two, library)  # the same")
    changeable.edit(EDITED, "frechet_interval(*sets, distance)", "frechet_interval(*two, distance)")

    def shown() -> list[str]:
        said = changeable.python("bright_pipeline.commands", "accept", "config.yaml", "--dry-run").text
        assert re.search(r"^score_features: \d+ of \d+ results accepted$", said, re.MULTILINE)
        assert re.search(rf"^--- results/code/[0-9a-f]{{12}}/{EDITED.removeprefix('pipeline/')}$", said, re.MULTILINE)
        return [line[1:].strip() for line in said.splitlines() if re.match(r"[-+] ", line)]

    assert shown() == [
        "sets = (generated.features, reference.features)",
        "distance = frechet_distance(*sets, library)",
        "return {'frechet_distance': Value(number=distance, interval=frechet_interval(*sets, distance))}",
        "two = (generated.features, reference.features)",
        "distance = frechet_distance(*two, library)",
        "return {'frechet_distance': Value(number=distance, interval=frechet_interval(*two, distance))}",
    ]
    assert not (changeable.folder / "results/accepted.json").exists()
    changeable.edit(EDITED, "(split + 1) * len(logits)", "(split + 2) * len(logits)")
    assert sum("split + " in line for line in shown()) == 2
    changeable.remove("results/code")
    said = changeable.python("bright_pipeline.commands", "accept", "config.yaml", "--dry-run").text
    assert re.search(
        r"^  bright_pipeline.evaluation.metrics differs; results/code/\w+, which .* is not here$", said, re.M
    )


def test_another_checkout_on_the_search_path_does_not_replace_the_runs_own(changeable: Workflow) -> None:
    """A stage of other code would end with an error, as its digest is not the plan's."""
    changeable.add_number(EDITED)
    changeable.remove(TABLE5)
    assert changeable.run("table5", PYTHONPATH=str(REPOSITORY / "pipeline")).jobs["score_features"] == 3


def test_a_requested_training_starts_over_and_ends_with_the_same_bits(play: Workflow) -> None:
    path = play.path("results/store/diffusions/*/diffusion.safetensors")
    weights = str(path.relative_to(play.folder))
    until = play.run("-n", "--forcerun", "train_diffusion", "--until", "generate").jobs
    assert until == {"train_diffusion": 1, "generate": 2}
    assert play.run("-n", "-R", weights).jobs == AFTER_DIFFUSION
    assert play.run("-n", "-f", weights).jobs == {"train_diffusion": 1}
    before, started = path.read_bytes(), path.stat().st_mtime_ns
    play.run("-f", weights)
    assert path.stat().st_mtime_ns > started
    assert path.read_bytes() == before
    assert play.run().nothing_to_do


def test_a_published_file_is_a_target_like_any_other(play: Workflow) -> None:
    before = (play.folder / TABLE).read_bytes()
    assert play.run(TABLE).nothing_to_do
    assert play.run("-f", TABLE).jobs == {"publish": 1}
    play.remove("results/store/tables/table2-*/table.md", TABLE)
    assert play.run(TABLE).jobs == {"make_table": 1, "publish": 1}
    assert (play.folder / TABLE).read_bytes() == before
    play.configure(lambda values: values["tables"].update(table2=["main", "without-noise"]))
    again = {"extract_features": 1, "score_features": 1, "make_table": 1, "publish": 1}
    assert play.run("-n", TABLE).jobs == again, "the file is of an earlier config"
    assert play.run(TABLE).jobs == again
    assert len((play.folder / TABLE).read_bytes()) > len(before)
    assert play.run(TABLE).nothing_to_do


def test_lines_name_the_configs_entries_and_what_is_wrong(tiny_run: Workflow) -> None:
    missing = tiny_run.run("-n", "results/tiny/tables/table99.md", expect=1).text
    assert "results/tiny/tables/table99.md: this config has no such result" in missing
    plan = tiny_run.run("-n", "--forcerun", "train_autoencoder").text
    for words in ("Training autoencoders.main", "Training autoencoders.without-noise"):
        assert words in plan
    assert "Generating samples.main, images 000000 to 000016" in plan


def test_no_profile_and_no_option_loses_the_rerun_rule(play: Workflow) -> None:
    (play.folder / "own").mkdir()
    (play.folder / "own" / "config.yaml").write_text("cores: 2\nrerun-triggers: [code, input, params, mtime]\n")
    codes, *_ = sorted(play.folder.glob("results/store/codes/*/codes.safetensors"))
    mark = base64.b64encode(str(codes.relative_to(play.folder)).encode()).decode()
    (play.folder / ".snakemake" / "incomplete").mkdir(parents=True, exist_ok=True)
    (play.folder / ".snakemake" / "incomplete" / mark).write_text("{}")
    assert play.run("-n", "--workflow-profile", "own").nothing_to_do


def test_machines_without_a_shared_file_system_are_refused_while_the_workflow_is_read(tiny_run: Workflow) -> None:
    text = tiny_run.run("-n", "--shared-fs-usage", "sources", "software-deployment", expect=1).text
    assert "error: --shared-fs-usage lacks input-output, persistence, source-cache: all machines" in text


@pytest.mark.slow
def test_a_job_never_uses_the_cpu_where_a_gpu_was_asked_for(tmp_path: Path, networks_folder: Path) -> None:
    """With a driver whose card PyTorch cannot use: one line, no attempt after it, and no result."""
    workflow = empty_workflow(tmp_path / "run", networks_folder)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 0, GPU-1111\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{workflow.environment()['PATH']}"
    text = workflow.run(
        "--until", "train_autoencoder", "--retries", "2", expect=1, PATH=path, TMPDIR=str(tmp_path)
    ).text
    said = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(said) == 1 and f"1 GPU asked for, PyTorch can use 0 {no_gpu()}" in said[0]
    assert "Trying to restart" not in text and not workflow.files("results/store/autoencoders/*")
    assert not workflow.files("results/work/train_autoencoder-*")
    assert workflow.run("-n", "--resources", "gpu=0", PATH=path).jobs["train_autoencoder"] == 2
