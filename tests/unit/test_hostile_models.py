"""A downloaded model: none of its code runs unless the caller, or the config of a run, names its family."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline import load_autoencoder, load_generator
from pipeline.base import code
from pipeline.base.errors import InputError
from pipeline.families import check_family


@pytest.mark.parametrize(
    "family", ["theirs.family", "os.path", "theirs", "../theirs", ".theirs", "pipeline.families.x"]
)
@pytest.mark.parametrize("kind", ["autoencoder", "generator"])
@pytest.mark.parametrize("given", ["folder", "file", "link"])
def test_a_family_that_only_the_file_names_is_never_imported(
    kind: str, given: str, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, size = (
        tmp_path / "out",
        {"resolution": 32, "channels": 1} if kind == "autoencoder" else {"shape": [1, 8, 8]},
    )
    folder.mkdir()
    told = json.dumps({kind: {"family": family}, **size})
    save_file({"x": torch.zeros(1)}, folder / f"{kind}.safetensors", {"config": told})
    for place in (folder, tmp_path):
        (place / "theirs").mkdir()
        for name in ("__init__", "family"):
            (place / "theirs" / f"{name}.py").write_text("FAMILY = open('ran', 'w')")
    (tmp_path / "link.safetensors").symlink_to(folder / f"{kind}.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    monkeypatch.syspath_prepend(str(folder))
    loader = load_autoencoder if kind == "autoencoder" else load_generator
    with pytest.raises(InputError, match=r"is not built in, and a file's word|no such family"):
        loader({"folder": folder, "file": folder / f"{kind}.safetensors", "link": Path("link.safetensors")}[given])
    assert not Path("ran").exists() and "theirs" not in sys.modules
    if family == "theirs.family":
        with pytest.raises(InputError, match="FAMILY must be"):
            loader(folder / f"{kind}.safetensors", families=["theirs.family"])
        del sys.modules["theirs"], sys.modules["theirs.family"]


def test_the_families_of_a_stages_config_are_those_of_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "_running", (["pipeline.reconstruct", "mine.network"], []))
    check_family("mine.family", "model", ())
    for other in ("theirs.family", "pipeline.families.x", "mine2.family"):
        with pytest.raises(InputError, match=f"model: its family '{other}' is not built in"):
            check_family(other, "model", ())
