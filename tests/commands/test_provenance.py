"""A digest expands to the sources of a result, back to the images, with the versions of libraries that wrote it."""

import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import STORE
from bright_pipeline.commands.provenance import digest_of, provenance
from bright_pipeline.engine.atomic import update_sums
from bright_pipeline.engine.checksums import problem, result_libraries, take_checksum
from bright_pipeline.engine.code import PROJECT, expected_code, versions
from bright_pipeline.engine.jobs import path_of
from bright_pipeline.plan.publish import dvc_file
from bright_pipeline.stages import all_stages
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import dataset
from bright_pipeline.stages.generation import diffusion
from bright_pipeline.stages.measurements import reconstruction
from bright_pipeline.stages.tables import tables
from finished_plan import finish, tiny_plan


@pytest.fixture
def plan(own_folder: Path) -> Jobs:
    """A finished plan in its own folder."""
    plan = tiny_plan()
    finish(plan)
    return plan


def printed(capsys: pytest.CaptureFixture[str], *results: str) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    provenance(list(results))
    return yaml.safe_load(capsys.readouterr().out)


def test_a_folder_tells_code_settings_and_everything_behind_it(plan: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
    job = plan(reconstruction, "main")
    entries = printed(capsys, str(job.folder))
    assert next(iter(entries)) == job.digest
    assert entries.keys() == {job.digest, plan(autoencoder, "main").digest, plan(dataset, "tiny").digest}
    for made in (job, *job.upstream):
        entry = entries[made.digest]
        facts = {key: made.identity[key] for key in ("code", "settings")}
        facts |= {"stage": made.stage.name, "folder": str(made.folder)}
        assert {key: entry[key] for key in facts} == facts
        assert {told.split()[0] for told in entry["inputs"]} == {upstream.digest for upstream in made.upstream}


def test_a_path_a_name_and_a_digest_mean_the_same_and_others_get_one_line(plan: Jobs) -> None:
    job = plan(autoencoder, "main")
    weights = job.path("autoencoder.safetensors")
    for told in (weights, str(job.folder), f"autoencoders/{job.name}", job.name, job.digest):
        assert digest_of(told) == job.digest
    for other, line in (("0" * 12, "no finished result"), ("table2.md", "not a result"), ("", "not a result")):
        with pytest.raises(InputError, match=line):
            provenance([other])


def test_every_folder_that_a_table_names_can_be_expanded(plan: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
    for table in plan(tables).values():
        # The claims come from the other tables.
        behind = table.settings["provenance"] or {"weights": {}}
        weights = [folder for folders in behind["weights"].values() for folder in folders]
        for told in (*map(path_of, table.inputs["summaries"]), *weights):
            assert printed(capsys, told)[digest_of(told)]["folder"] != "not here"


def test_a_tracked_or_removed_result_still_tells_what_it_was(plan: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
    job = plan(autoencoder, "main")
    dvc_file(job.folder).write_text("outs:\n- md5: 0123abc.dir\n")
    entry = printed(capsys, job.digest)[job.digest]
    assert (entry["folder"], entry["content"]) == (str(job.folder), "md5 0123abc.dir")
    shutil.rmtree(job.folder)
    assert printed(capsys, job.digest)[job.digest]["folder"] == f"not here; dvc pull {job.folder}"
    shutil.rmtree(STORE)
    assert printed(capsys, plan(diffusion, "main").digest)[plan(diffusion, "main").digest]["folder"] == "not here"


STAGE = """
import json
from pathlib import Path
from typing import Any
import numpy
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.engine.command import run_stage

def stage(output: Path) -> None:
    from PIL import Image
    write_text(output, "made")

if __name__ == "__main__":
    run_stage(stage)
"""
RESULT = Path("results/store/toys/toy-0123456789ab/toy.txt")


def test_a_stage_leaves_the_versions_of_what_its_code_imports(own_folder, monkeypatch) -> None:
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


def test_the_libraries_of_each_result_are_printed(plan: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
    job, trained = plan(reconstruction, "main"), plan(autoencoder, "main")
    made_with(job.folder, "summary.json", {"numpy": "2.4.6", "torch": "2.12.0"})
    made_with(job.folder, "per_image.csv", {"torch": "2.13.0"})
    made_with(trained.folder, "autoencoder.safetensors", {"torch": "2.11.0"})
    entries = printed(capsys, str(job.folder))
    assert {digest: entry["libraries"] for digest, entry in entries.items() if "libraries" in entry} == {
        job.digest: {"numpy": "2.4.6", "torch": "2.12.0 and 2.13.0"},
        trained.digest: {"torch": "2.11.0"},
    }
