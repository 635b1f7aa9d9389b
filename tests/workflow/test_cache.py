"""Snakemake's cache between workflows: a second empty folder takes prepared and trained things from it."""

import re
import sys
from pathlib import Path

import pytest
from tiny_workflow import Workflow, copy_checkout, empty_workflow

from pipeline.base.checksums import is_checksum

CACHED = ("prepare_dataset", "train_autoencoder")


@pytest.mark.slow
def test_a_second_folder_takes_the_prepared_dataset_and_the_trained_autoencoder(
    tmp_path: Path, networks_folder: Path, tiny_run: Workflow
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (history,) = (
        path
        for path in (tiny_run.folder / "results" / "store" / "autoencoders").glob("*/autoencoder.history.csv")
        if "adversarial" not in path.read_text()
    )
    target = str((history.parent / "autoencoder.safetensors").relative_to(tiny_run.folder))

    def run(name: str) -> Workflow:
        workflow = empty_workflow(tmp_path / name, networks_folder)
        done = workflow.run("--cache", *CACHED, "--", target, SNAKEMAKE_OUTPUT_CACHE=str(cache))
        assert done.jobs == dict.fromkeys(CACHED, 1)
        return workflow

    first, second = run("first"), run("second")
    logs = sorted(path.name.split("-")[0] for path in (first.folder / "results" / "logs").glob("*.log"))
    assert logs == sorted(CACHED)
    for log in (second.folder / "results" / "logs").glob("*.log"):
        assert log.read_text() == "", "no command ran"
    assert not list((second.folder / "results" / "work").glob("train_*")), "nothing was trained"
    made = stored(first)
    assert made.keys() == stored(second).keys()
    assert made == stored(second)
    folders = {name.rpartition("/")[0] for name in made}
    assert len(made) == 6 + len(folders), "and their checksums"
    assert second.run("-n", "--", target).nothing_to_do


@pytest.mark.slow
def test_changed_code_takes_nothing_from_the_cache(tmp_path: Path, networks_folder: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()

    def prepared(name: str, constant: str) -> bool:
        """Whether the dataset was prepared, and not taken from the cache."""
        workflow = empty_workflow(tmp_path / name, networks_folder)
        workflow.checkout = copy_checkout(tmp_path / f"{name} checkout")
        module = workflow.checkout / "pipeline" / "data" / "prepare.py"
        module.write_text(module.read_text() + constant)
        script = (
            "from pathlib import Path; from pipeline.config.root import read_config;"
            "from pipeline.stages.common import Jobs; from pipeline.stages.datasets import dataset;"
            "print(Jobs(read_config(Path('config.yaml')))(dataset, 'tiny').path('train.zip'))"
        )
        target = workflow.call(sys.executable, "-c", script).text.strip()
        workflow.run("--cache", "prepare_dataset", "--", target, SNAKEMAKE_OUTPUT_CACHE=str(cache))
        (log,) = (workflow.folder / "results" / "logs").glob("prepare_dataset-*.log")
        return log.read_text() != ""

    assert prepared("first", "")
    assert not prepared("second", "\n# A remark.\n")
    assert prepared("third", "\nANOTHER_NUMBER = 1\n")


def stored(workflow: Workflow) -> dict[str, bytes]:
    """The files of all results; which versions of libraries made one, the cache does not tell."""
    store = workflow.folder / "results" / "store"
    found = {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    return {
        name: re.sub(rb"# (made with|checksum of) .*\n", b"", content) if is_checksum(Path(name).name) else content
        for name, content in found.items()
    }
