"""Another program's checkpoint in the plan: imported where others are trained; its content decides."""

from pathlib import Path
from typing import Any

import pytest
from finished_plan import tiny_plan, tiny_values

from pipeline.base.errors import InputError
from pipeline.estimation.devices import choose_device
from pipeline.estimation.times import Known, job_times
from pipeline.plan.checks import obstacles
from pipeline.plan.run import unfinished
from pipeline.plan.shards import planned
from pipeline.plan.view import view
from pipeline.stages.common import Jobs, path_of
from pipeline.stages.figures import figures
from pipeline.stages.generation import samples
from pipeline.stages.tables import tables

VQGAN: dict[str, Any] = {
    "dataset": "tiny",
    "family": "vqgan",
    "code_size": "4x4x4",
    "network": {"channels": 8, "multipliers": [1, 1, 1, 1], "blocks": 1},
    "weights": {"kind": "ldm_vq", "path": "model.ckpt"},
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.ckpt").write_bytes(b"weights")


def plan(**changes: Any) -> Jobs:
    """The tiny run with an LDM of another program in its tables, too."""
    values = tiny_values()
    values["autoencoders"]["ldm"] = VQGAN | changes
    values["diffusions"]["ldm"] = values["diffusions"]["main"] | {
        "autoencoder": "ldm",
        "weights": {"kind": "ldm", "path": "model.ckpt"},
    }
    values["samples"]["ldm"] = values["samples"]["main"] | {"diffusion": "ldm"}
    values["tables"]["table2"] = [*values["tables"]["table2"], "ldm"]
    values["tables"]["table5"]["rows"] = [*values["tables"]["table5"]["rows"], "ldm"]
    return tiny_plan(values)


def imports(of: Jobs) -> dict[str, Any]:
    return {job.files[0]: job for job in of(planned).values() if job.stage.name == "import_weights"}


def test_a_checkpoint_is_imported_and_nothing_is_trained_for_it():
    with_ldm, without = plan(), tiny_plan()
    assert set(imports(with_ldm)) == {"autoencoder.safetensors", "diffusion.safetensors"}
    trained = [{key for key in one(planned) if key[0].startswith("train")} for one in (with_ldm, without)]
    assert trained[0] == trained[1]
    made = with_ldm(samples, "ldm")
    assert path_of(made.inputs["autoencoder"][0]) == imports(with_ldm)["autoencoder.safetensors"].outputs[0]
    assert path_of(made.inputs["diffusion"][0]) == imports(with_ldm)["diffusion.safetensors"].outputs[0]


def test_it_has_no_history():
    found = plan()
    assert not any("ldm" in file for file in found(view) if "/histories/" in file)
    names = [name for job in found(figures).values() for name in job.names if name.startswith("history:")]
    assert names
    assert "history:ldm" not in names


def test_an_import_is_estimated_as_no_training():
    found = [
        one for one in job_times(plan(), choose_device("cpu", None)) if one.shard.job.stage.name == "import_weights"
    ]
    assert len(found) == 2
    assert all((one.known, one.gpus) == (Known.UNKNOWN, 0) for one in found)


def test_its_content_moves_its_digest_and_neither_its_place_nor_a_trainings_keys_do():
    before = imports(plan())["autoencoder.safetensors"].digest
    Path("there").mkdir()
    Path("model.ckpt").rename("there/same.ckpt")
    elsewhere = {"kind": "ldm_vq", "path": "there/same.ckpt"}
    assert imports(plan(weights=elsewhere, training={"batch": 4}))["autoencoder.safetensors"].digest == before
    assert imports(plan(weights=elsewhere, codebook={"entries": 8}))["autoencoder.safetensors"].digest != before
    Path("model.ckpt").write_bytes(b"others!!")
    assert imports(plan())["autoencoder.safetensors"].digest != before


def test_a_checkpoint_that_is_not_here_stops_a_run_before_its_first_job_and_no_dry_run():
    Path("model.ckpt").unlink()
    found = plan()
    told = [line for line in obstacles(found, unfinished(found)) if "model.ckpt" in line]
    assert [line.split(": ")[0] for line in told] == ["autoencoders.ldm.weights.path", "diffusions.ldm.weights.path"]


def test_a_kind_that_does_not_become_the_entry_is_told():
    with pytest.raises(InputError, match=r"autoencoders\.ldm\.weights\.kind: rqvae is for the family rqvae, not vqgan"):
        plan(weights={"kind": "rqvae", "path": "model.ckpt"})


def test_an_imported_ldm_is_the_papers_row_of_the_released_checkpoint():
    found = plan()
    evaluations = [job for job in found(planned).values() if job.stage.name == "score_features"]
    methods = {job.settings["method"] for job in evaluations if job.settings["sample_kind"] == "diffusion"}
    assert methods == {"BRIGHT (LDM)", "LDM*"}
    labels = [row.get("label") for row in found(tables)["table5"].settings["rows"]]
    assert "LDM* (codes of VQGAN)" in labels
