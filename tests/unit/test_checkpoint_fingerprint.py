"""Another program's checkpoint is known by its content."""

import os
from pathlib import Path

import pytest

from pipeline.data.fingerprint import Fingerprints, missing_checkpoint
from pipeline.settings.weights import ForeignWeights, check_weights

WHERE = "autoencoders.vqgan.weights"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def weights(path: str, kind: str = "taming_vqgan") -> ForeignWeights:
    return ForeignWeights(kind=kind, path=path)


def taken(path: str, kind: str = "taming_vqgan") -> dict[str, object]:
    """As a run takes and keeps it."""
    fingerprints = Fingerprints()
    facts = fingerprints.checkpoint(weights(path, kind), WHERE)
    fingerprints.keep()
    return facts


def test_content_decides_and_not_where_a_file_lies_or_its_name():
    Path("a.ckpt").write_bytes(b"weights")
    Path("elsewhere").mkdir()
    Path("elsewhere/b.ckpt").write_bytes(b"weights")
    Path("c.ckpt").write_bytes(b"others!")
    assert taken("a.ckpt")["sha256"] == taken("elsewhere/b.ckpt")["sha256"] != taken("c.ckpt")["sha256"]


def test_a_kept_fingerprint_stands_for_a_checkpoint_that_is_not_here():
    Path("a.ckpt").write_bytes(b"weights")
    before = taken("a.ckpt")
    Path("a.ckpt").unlink()
    assert taken("a.ckpt") == before
    assert taken("never.ckpt") == {"absent": "never.ckpt"}
    told = missing_checkpoint(weights("a.ckpt"), WHERE)
    assert told == f"{WHERE}.path: a.ckpt does not exist; the run needs this taming_vqgan"


def test_a_changed_checkpoint_of_the_same_size_is_another_one():
    Path("a.ckpt").write_bytes(b"weights")
    os.utime("a.ckpt", (1, 1))
    before = taken("a.ckpt")
    Path("a.ckpt").write_bytes(b"WEIGHTS")
    assert taken("a.ckpt")["sha256"] != before["sha256"]
    assert missing_checkpoint(weights("a.ckpt"), WHERE) is None


def test_an_emptied_checkpoint_leaves_what_is_kept():
    Path("ddpm").mkdir()
    Path("ddpm/unet.bin").write_bytes(b"weights")
    before = taken("ddpm", "diffusers_ddpm")
    Path("ddpm/unet.bin").write_bytes(b"")
    assert taken("ddpm", "diffusers_ddpm") == before
    Path("ddpm/unet.bin").unlink()
    assert taken("ddpm", "diffusers_ddpm") == before
    told = missing_checkpoint(weights("ddpm", "diffusers_ddpm"), WHERE)
    assert told == f"{WHERE}.path: ddpm contains no readable checkpoint"


def test_a_folder_is_all_of_its_files():
    Path("ddpm/unet").mkdir(parents=True)
    Path("ddpm/unet/config.json").write_text("{}")
    before = taken("ddpm", "diffusers_ddpm")
    Path("ddpm/unet/config.json").rename("ddpm/unet/other.json")
    assert taken("ddpm", "diffusers_ddpm")["sha256"] != before["sha256"]


def test_a_kind_belongs_to_one_sort_of_entry_and_one_family():
    vqgan, ldm = weights("a"), weights("a", "ldm")
    check_weights(None, "autoencoder", "bright")
    check_weights(vqgan, "autoencoder", "vqgan")
    check_weights(ldm, "diffusion", None)
    with pytest.raises(ValueError, match=r"weights\.kind: ldm is for entries of diffusions, not of autoencoders"):
        check_weights(ldm, "autoencoder", "vqgan")
    with pytest.raises(ValueError, match=r"weights\.kind: taming_vqgan is for the family vqgan, not bright"):
        check_weights(vqgan, "autoencoder", "bright")
