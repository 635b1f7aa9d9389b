"""SHA256SUMS records the versions of libraries that wrote a result, and `bright provenance` compares them."""

import platform
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from finished_plan import finish, tiny_plan

from pipeline.base.atomic import update_sums
from pipeline.base.checksums import problem, result_libraries, take_checksum
from pipeline.base.code import PROJECT, expected_code, versions
from pipeline.base.errors import InputError
from pipeline.commands.provenance import provenance
from pipeline.stages import all_stages
from pipeline.stages.autoencoders import autoencoder, reconstruction

STAGE = """
import json
from pathlib import Path
import numpy
from pipeline.base.atomic import write_text
from pipeline.base.command import run_stage

def stage(output: Path) -> None:
    from PIL import Image
    write_text(output, "made")

if __name__ == "__main__":
    run_stage(stage)
"""
RESULT = Path("results/store/toys/toy-0123456789ab/toy.txt")


def test_a_stage_leaves_the_versions_of_what_its_code_imports(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("toy").mkdir()
    Path("toy", "stage.py").write_text(STAGE)
    monkeypatch.syspath_prepend(own_folder)
    told = expected_code(("toy.stage",))
    command = [sys.executable, "-m", "toy.stage", "--code", told, str(RESULT)]
    subprocess.run(command, check=True, capture_output=True)
    (libraries,) = result_libraries(RESULT.parent)
    wanted = {"numpy": version("numpy"), "pillow": version("pillow"), "python": platform.python_version()}
    assert libraries == wanted, "by their names in the index, also of one that is imported inside a function"
    assert problem(RESULT) is None


NEEDED = {"train_autoencoder": "torch", "score_features": "scipy", "train_diffusion": "diffusers"}


def test_what_numbers_depend_on_is_among_them() -> None:
    for stage, needed in NEEDED.items():
        modules = {name for module in PROJECT.closure([all_stages()[stage].command]) for name in module.libraries}
        found = versions(frozenset(modules))
        assert found[needed] == version(needed)
        assert not found.keys() & {"typer", "pydantic", "snakemake", "bright-pipeline"}


def made_with(folder: Path, file: str, libraries: dict[str, str]) -> None:
    """Say of a result's file that these versions made it."""
    update_sums(folder, {file: replace(take_checksum(folder / file), libraries=libraries)})


def test_two_results_show_where_they_differ(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tiny_plan()
    finish(plan)
    first, second = (plan(reconstruction, name) for name in ("main", "without-noise"))
    for job, torch in ((first, "2.12.0"), (second, "2.13.0+cpu")):
        made_with(job.folder, "summary.json", {"numpy": "2.4.6", "torch": torch})
    trained = [plan(autoencoder, name) for name in ("main", "without-noise")]
    made_with(trained[0].folder, "autoencoder.safetensors", {"torch": "2.11.0"})
    capsys.readouterr()

    provenance([str(first.folder)])
    entries = yaml.safe_load(capsys.readouterr().out)
    assert entries[first.digest]["libraries"] == {"numpy": "2.4.6", "torch": "2.12.0"}
    assert entries[trained[0].digest]["libraries"] == {"torch": "2.11.0"}
    assert [digest for digest in entries if "libraries" in entries[digest]] == [first.digest, trained[0].digest]

    provenance([str(first.folder), str(second.folder)], differences=True)
    told = yaml.safe_load(capsys.readouterr().out)
    own = told[f"reconstruct {first.digest}, {second.digest}"]
    assert own == {"libraries.torch": ["2.12.0", "2.13.0+cpu"]}
    behind = told[f"train_autoencoder {trained[0].digest}, {trained[1].digest}"]
    assert behind["libraries.torch"] == ["2.11.0", "none"]
    assert behind["settings.autoencoder.code_noise"] == ["after_tiling", "none"]
    assert len(told) == 2, "the dataset is one"

    provenance([first.digest, first.digest], differences=True)
    assert yaml.safe_load(capsys.readouterr().out) == {}
    with pytest.raises(InputError, match="needs two results to compare"):
        provenance([first.digest], differences=True)
