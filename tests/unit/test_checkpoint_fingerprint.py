"""Another program's checkpoint is known by its content."""

from pathlib import Path

import pytest

from pipeline.config.foreign import ForeignWeights, check_weights
from pipeline.data.checkpoint_fingerprints import checkpoint_fingerprint, missing_checkpoint


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def taken(path: str, kind: str = "taming_vqgan") -> dict[str, object]:
    return checkpoint_fingerprint("vqgan", ForeignWeights(kind=kind, path=path), "autoencoders.vqgan.weights")


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
    told = missing_checkpoint(ForeignWeights(kind="ldm", path="a.ckpt"), "diffusions.ldm.weights")
    assert told is not None
    assert told.startswith("diffusions.ldm.weights.path: a.ckpt does not exist")


def test_it_is_taken_again_where_a_size_changed():
    Path("a.ckpt").write_bytes(b"weights")
    before = taken("a.ckpt")
    Path("a.ckpt").write_bytes(b"other weights")
    assert taken("a.ckpt") != before
    assert missing_checkpoint(ForeignWeights(kind="ldm", path="a.ckpt"), "any") is None


def test_a_folder_is_all_of_its_files():
    Path("ddpm/unet").mkdir(parents=True)
    Path("ddpm/unet/config.json").write_text("{}")
    before = taken("ddpm", "diffusers_ddpm")
    Path("ddpm/unet/config.json").rename("ddpm/unet/other.json")
    assert taken("ddpm", "diffusers_ddpm")["sha256"] != before["sha256"]


def test_a_kind_belongs_to_one_sort_of_entry_and_one_family():
    vqgan, ldm = ForeignWeights(kind="taming_vqgan", path="a"), ForeignWeights(kind="ldm", path="a")
    check_weights(None, "autoencoder", "bright")
    check_weights(vqgan, "autoencoder", "vqgan")
    check_weights(ldm, "diffusion", None)
    with pytest.raises(ValueError, match=r"weights\.kind: ldm is for an entry of diffusions, not of autoencoders"):
        check_weights(ldm, "autoencoder", "vqgan")
    with pytest.raises(ValueError, match=r"weights\.kind: taming_vqgan is for the family vqgan, not bright"):
        check_weights(vqgan, "autoencoder", "bright")
