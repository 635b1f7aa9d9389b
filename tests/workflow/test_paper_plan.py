"""config/paper.yaml without datasets, weights or GPU: the plan is complete, and a real run names what is missing."""

import yaml
from tiny_workflow import REPOSITORY, Workflow

PAPER = REPOSITORY / "config" / "paper.yaml"


def test_the_papers_jobs_are_listed_in_an_empty_folder(empty: Workflow) -> None:
    plan = empty.run("-n", "--quiet", "rules", "--configfile", str(PAPER))
    config = yaml.safe_load(PAPER.read_text())
    assert plan.jobs["prepare_dataset"] == 2
    snapshots = [name for name, one in config["autoencoders"].items() if "snapshot_of" in one]
    assert plan.jobs["train_autoencoder"] == len(config["autoencoders"]) - len(snapshots) == 14
    assert plan.jobs["take_snapshot"] == len(snapshots) == 1
    assert plan.jobs["train_diffusion"] == len(config["diffusions"]) == 4
    assert plan.jobs["train_generator"] == len(config["generators"]) == 4
    assert plan.jobs["generate"] == 50 * len(config["samples"]) == 400, "50,000 images of each model, 1,000 a shard"
    assert plan.jobs["make_table"] == 9, "Tables 2 to 8, the numbers of the text, its claims"
    assert plan.seconds < 30
    assert not (empty.folder / "results").exists(), "a dry run leaves nothing behind"


def test_a_real_run_without_the_images_ends_before_any_job_with_a_line_for_each_path(empty: Workflow) -> None:
    run = empty.run("--configfile", str(PAPER), expect=1)
    assert [line for line in run.text.splitlines() if line.startswith("error: ")] == [
        "error: datasets.ffhq256.source.path: data/ffhq does not exist; a folder of images is expected",
        "error: datasets.lsun_church256.source.path: data/lsun/church_outdoor_train_lmdb does not exist;"
        " a folder with data.mdb is expected",
    ]
    assert "[" not in run.text.partition("error: ")[2], "no job began"
    assert not (empty.folder / "results" / "store").exists()
    assert "Traceback" not in run.text
