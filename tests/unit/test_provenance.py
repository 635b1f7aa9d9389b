"""A digest expands to the sources of a result, back to the images."""

import shutil
from pathlib import Path

import pytest
import yaml
from finished_plan import finish, tiny_plan

from pipeline.base.errors import InputError
from pipeline.base.paths import STORE
from pipeline.commands.provenance import digest_of, provenance
from pipeline.plan.dvc import dvc_file
from pipeline.stages.autoencoders import autoencoder, reconstruction
from pipeline.stages.common import Jobs, path_of
from pipeline.stages.datasets import dataset
from pipeline.stages.generation import diffusion
from pipeline.stages.tables import tables


@pytest.fixture
def plan(own_folder: Path) -> Jobs:
    """A finished plan in its own folder."""
    plan = tiny_plan()
    finish(plan)
    return plan


def printed(capsys: pytest.CaptureFixture[str], *results: str) -> dict[str, dict[str, object]]:
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
        facts = {"stage": made.stage.name, "folder": str(made.folder)}
        assert {key: entry[key] for key in (*facts, "code", "settings")} == facts | {
            key: made.identity[key] for key in ("code", "settings")
        }
        assert {told.split()[0] for told in entry["inputs"]} == {upstream.digest for upstream in made.upstream}
    seed = entries[plan(autoencoder, "main").digest]["settings"]["seed"]  # type: ignore[index]
    assert seed == plan(autoencoder, "main").settings["seed"]


def test_a_path_a_name_and_a_digest_mean_the_same_and_others_get_one_line(plan: Jobs) -> None:
    job = plan(autoencoder, "main")
    weights = job.path("autoencoder.safetensors")
    for told in (weights, str(job.folder), f"autoencoders/{job.name}", job.name, job.digest):
        assert digest_of(told) == job.digest
    for other, problem in (("0" * 12, "no finished result"), ("table2.md", "not a result"), ("", "not a result")):
        with pytest.raises(InputError, match=problem):
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
