"""A wrong config stops before any job, with one line that names the key and what would be right."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from test_soak import heed_signals
from tiny_workflow import TINY, Workflow, copy_checkout, empty_workflow


def error_lines(text: str) -> list[str]:
    """The output without Snakemake's own lines on profile and config file."""
    usual = ("Using workflow specific profile", "Config file ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith(usual)]


def test_a_wrong_config_stops_before_any_job_with_one_line(empty: Workflow) -> None:
    (empty.folder / "config.yaml").write_text(TINY.read_text().replace("code_size: 4x4x2", "code_sizes: 4x4x2"))
    (line,) = error_lines(empty.run(expect=1).text)
    assert re.match(r"error: \S*config\.yaml: ", line)
    assert "autoencoders.main.code_sizes: no such key; did you mean code_size?" in line
    assert not (empty.folder / "results" / "store").exists()


def test_a_config_file_replaces_the_demo_and_the_command_line_changes_single_values(empty: Workflow) -> None:
    plan = empty.run("-n", "--quiet", "rules", "--config", "seed=2", "run=second")
    assert plan.jobs["train_autoencoder"] >= 5, "the demo's"
    (line,) = error_lines(empty.run("-n", "--config", "seed=two", expect=1).text)
    assert line.startswith("error: config: seed: ")
    (empty.folder / "config.yaml").write_text("run: mine\n")
    (line,) = error_lines(empty.run("-n", expect=1).text)
    assert "datasets: this key is missing" in line


def test_a_network_file_with_one_flipped_byte_is_refused_by_name_before_any_job(empty, networks_folder):
    shutil.copy(TINY, empty.folder / "config.yaml")
    networks = empty.folder / "results" / "networks"
    shutil.copytree(networks_folder, networks)
    wrong = networks / "efficientnet_lite0.safetensors"
    content = bytearray(wrong.read_bytes())
    content[-5000] ^= 1
    wrong.write_bytes(content)
    text = empty.run(expect=1).text
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: network efficientnet_lite0: results/networks/efficientnet_lite0.safetensors: sha256")
    assert "missing networks (inception, vgg16, clip, dinov2, clip_l14_336): `bright doctor CONFIG`" in text
    assert "https://" not in text
    assert not (empty.folder / "results" / "store").exists()
    assert empty.run("table3").jobs["complexity"] >= 1, "it needs no network"


def test_braces_in_the_path_of_the_checkout_and_the_search_path_of_python_reach_the_jobs(empty: Workflow) -> None:
    braces = Workflow(empty.folder, copy_checkout(empty.folder.with_name("a}b{c}")))
    assert braces.run("table3", PYTHONPATH=f"{empty.folder}/a}}b{{c}}").jobs["complexity"] >= 1


def test_touching_makes_nothing_and_says_so(empty: Workflow) -> None:
    shutil.copy(TINY, empty.folder / "config.yaml")
    assert "Made:" not in empty.run("--touch").text
    assert not (empty.folder / "results" / "tiny").exists()


def test_an_experiment_of_dvc_in_a_folder_without_results_is_refused(tmp_path, networks_folder) -> None:
    run = empty_workflow(tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "run", networks_folder)
    (line,) = error_lines(run.run(expect=1).text)
    assert line.startswith("error: `dvc exp run --temp` and `--queue` run in a folder without results")


def test_a_failing_job_says_where_its_log_is_and_the_next_run_continues(play: Workflow) -> None:
    table = play.path("results/store/tables/table3-*")
    play.remove("results/store/tables/table3-*/*")
    counts = play.files("results/store/complexity/*/complexity.json")
    for path, content in counts.items():
        (play.folder / path).write_text("x" * len(content))  # a plan would notice another size
    failed = play.run("table3", expect=1)
    assert "A job failed; its log says why (results/logs)" in failed.text
    log = play.text(f"results/logs/make_table-{table.name}.log")
    assert "complexity.json: damaged: sha256 is" in log.splitlines()[-1]
    assert not table.exists()
    for path, content in counts.items():
        (play.folder / path).write_bytes(content)
    done = play.run("table3")
    assert done.jobs == {"make_table": 1, "table3": 1}
    assert "results/store" not in play.run("table3", "--list-changes", "params").text
    assert "Made: 1 result: make_table\n" in done.text
    assert re.search(r"^Reused: 2 results: complexity, measure_decoding$", done.text, re.MULTILINE)
    assert "results/tiny/report.html   the page of the run" in done.text


@pytest.mark.slow
def test_after_ctrl_c_no_job_has_failed(tmp_path, networks_folder) -> None:
    run = empty_workflow(tmp_path / "run", networks_folder)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    started = run.start("table2", start_new_session=True, preexec_fn=heed_signals, **streams)
    while not list(run.folder.glob("results/records/*")):
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGINT)
    said, _ = started.communicate()
    assert started.returncode and "The same command resumes the run." in said
    assert "A job failed" not in said
