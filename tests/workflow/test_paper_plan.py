"""config/paper.yaml without datasets, weights or GPU: the plan is whole, and a real run says what is missing."""

import yaml
from tiny_workflow import REPOSITORY, Workflow

PAPER = REPOSITORY / "config" / "paper.yaml"


def test_the_papers_jobs_are_listed_in_an_empty_folder(empty: Workflow) -> None:
    plan = empty.run("-n", "--quiet", "rules", "--configfile", str(PAPER))
    config = yaml.safe_load(PAPER.read_text())
    assert plan.jobs["prepare_dataset"] == 2
    assert plan.jobs["train_autoencoder"] == len(config["autoencoders"]) == 10
    assert plan.jobs["train_diffusion"] == len(config["diffusions"]) == 2
    assert plan.jobs["generate"] == 100, "50,000 images of each collection, 1,000 a shard"
    assert plan.jobs["make_table"] == 8
    assert plan.seconds < 30
    assert not (empty.folder / "results").exists(), "a dry run leaves nothing behind"


def test_a_real_run_without_the_images_ends_before_any_job_with_one_line_naming_the_path(empty: Workflow) -> None:
    run = empty.run("--configfile", str(PAPER), expect=1)
    lines = run.text.splitlines()
    start = lines.index("Building DAG of jobs...")
    (line,) = (line for line in lines[start + 1 :] if line.strip())
    assert line == "error: datasets.ffhq256.source.path: data/ffhq does not exist; a folder of images is expected"
    assert not (empty.folder / "results" / "store").exists()
    assert "Traceback" not in run.text
