"""Another program's checkpoint in the plan: imported where others are trained; its content decides."""

import os
from pathlib import Path
from typing import Any

import pytest
from finished_plan import tiny_plan, tiny_values

from pipeline.base.errors import InputError
from pipeline.data.fingerprint import Fingerprints, missing_checkpoint
from pipeline.estimation.devices import choose_device
from pipeline.estimation.times import Known, job_times
from pipeline.plan.checks import obstacles
from pipeline.plan.run import unfinished
from pipeline.plan.shards import planned
from pipeline.plan.view import view
from pipeline.settings.weights import ForeignWeights, check_weights
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
def elsewhere(own_folder: Path) -> None:
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


WHERE = "autoencoders.main.weights"


def weights(path: str, kind: str = "taming_vqgan") -> ForeignWeights:
    return ForeignWeights(kind=kind, path=path)


def checkpoint(path: str, kind: str = "taming_vqgan") -> dict[str, Any]:
    """The facts in a run, which stores them."""
    fingerprints = Fingerprints()
    facts = fingerprints.checkpoint(weights(path, kind), WHERE)
    fingerprints.keep()
    return facts


def test_a_checkpoint_is_known_by_its_content() -> None:
    Path("elsewhere").mkdir()
    for path, content in (("a.ckpt", b"weights"), ("elsewhere/b.ckpt", b"weights"), ("c.ckpt", b"others!")):
        Path(path).write_bytes(content)
    os.utime("a.ckpt", (1, 1))
    before = checkpoint("a.ckpt")
    assert before["sha256"] == checkpoint("elsewhere/b.ckpt")["sha256"] != checkpoint("c.ckpt")["sha256"]
    assert missing_checkpoint(weights("a.ckpt"), WHERE) is None
    Path("a.ckpt").write_bytes(b"WEIGHTS")
    after = checkpoint("a.ckpt")
    assert after["sha256"] != before["sha256"]
    Path("a.ckpt").unlink()
    assert checkpoint("a.ckpt") == after
    assert checkpoint("never.ckpt") == {"absent": "never.ckpt"}
    line = missing_checkpoint(weights("a.ckpt"), WHERE)
    assert line == f"{WHERE}.path: a.ckpt does not exist; the run needs this taming_vqgan"


def test_a_folder_checkpoint_is_all_of_its_files() -> None:
    Path("ddpm").mkdir()
    Path("ddpm/unet.bin").write_bytes(b"weights")
    before = checkpoint("ddpm", "diffusers_ddpm")
    Path("ddpm/unet.bin").rename("ddpm/other.bin")
    renamed = checkpoint("ddpm", "diffusers_ddpm")
    assert renamed["sha256"] != before["sha256"]
    Path("ddpm/other.bin").write_bytes(b"")
    assert checkpoint("ddpm", "diffusers_ddpm") == renamed
    Path("ddpm/other.bin").unlink()
    assert checkpoint("ddpm", "diffusers_ddpm") == renamed
    line = missing_checkpoint(weights("ddpm", "diffusers_ddpm"), WHERE)
    assert line == f"{WHERE}.path: ddpm contains no readable checkpoint"


def test_a_kind_of_checkpoint_belongs_to_one_type_of_entry_and_one_family() -> None:
    vqgan, ldm = weights("a"), weights("a", "ldm")
    check_weights(None, "autoencoder", "bright")
    check_weights(vqgan, "autoencoder", "vqgan")
    check_weights(ldm, "diffusion", None)
    with pytest.raises(ValueError, match=r"weights\.kind: ldm is for entries of diffusions, not of autoencoders"):
        check_weights(ldm, "autoencoder", "vqgan")
    with pytest.raises(ValueError, match=r"weights\.kind: taming_vqgan is for the family vqgan, not bright"):
        check_weights(vqgan, "autoencoder", "bright")
