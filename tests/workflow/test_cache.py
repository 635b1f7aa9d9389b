"""Snakemake's cache between workflows: a second empty folder takes prepared data and trained models from it."""

import re
from pathlib import Path

import pytest
from tiny_workflow import Workflow, copy_checkout, empty_workflow

from pipeline.base.checksums import is_checksum

pytestmark = pytest.mark.slow

CACHED = ("prepare_dataset", "train_autoencoder")


def test_a_second_folder_takes_dataset_and_autoencoder(tmp_path, networks_folder, tiny_run, monkeypatch) -> None:
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(tmp_path))
    weights = tiny_run.path("results/store/autoencoders/without-noise-*/autoencoder.safetensors")
    target = str(weights.relative_to(tiny_run.folder))

    def run(name: str) -> Workflow:
        workflow = empty_workflow(tmp_path / name, networks_folder)
        done = workflow.run("--cache", *CACHED, "--", target)
        assert done.jobs == dict.fromkeys(CACHED, 1)
        return workflow

    first, second = run("first"), run("second")
    logs = sorted(path.name.split("-")[0] for path in (first.folder / "results" / "logs").glob("*.log"))
    assert logs == sorted(CACHED)
    assert set(second.files("results/logs").values()) == {b""}, "no command ran"
    assert not list((second.folder / "results" / "work").glob("train_*")), "nothing was trained"
    assert stored(first) == stored(second)
    folders = {name.rpartition("/")[0] for name in stored(first)}
    assert len(stored(first)) == 6 + len(folders), "and their checksums"
    assert second.run("-n", "--", target).nothing_to_do


def test_changed_code_takes_nothing_from_the_cache(tmp_path: Path, networks_folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(tmp_path))

    def is_prepared(name: str, text: str) -> bool:
        """Whether the dataset was prepared instead of taken from the cache."""
        workflow = empty_workflow(tmp_path / name, networks_folder)
        workflow.checkout = copy_checkout(tmp_path / f"{name} checkout")
        module = workflow.checkout / "pipeline" / "data" / "prepare.py"
        module.write_text(module.read_text() + text)
        workflow.run("--cache", "prepare_dataset", "--until", "prepare_dataset")
        return workflow.text("results/logs/prepare_dataset-*.log") != ""

    assert is_prepared("first", "")
    assert not is_prepared("second", "\n# A remark.\n")
    assert is_prepared("third", "\nANOTHER_NUMBER = 1\n")


def stored(workflow: Workflow) -> dict[str, bytes]:
    """The files of all results, without the comments of checksums, which the cache does not store."""
    return {
        name: re.sub(rb"# (made with|checksum of) .*\n", b"", content) if is_checksum(Path(name).name) else content
        for name, content in workflow.files("results/store").items()
    }
