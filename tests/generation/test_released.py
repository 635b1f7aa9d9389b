"""Released models: what `load_autoencoder` accepts from an https server, and how it refuses everything else."""

import shutil
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from bright_pipeline import load_autoencoder
from bright_pipeline.base.errors import InputError
from bright_pipeline.generation import released
from bright_pipeline.generation.exported import write_weights
from bright_pipeline.generation.released import write_sums
from bright_pipeline.generation.sampling import decode_finite, fit_gaussian, sample
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.checkpoints import save_autoencoder
from bright_pipeline.settings.autoencoder import Autoencoder


@pytest.fixture
def folder(tmp_path: Path, tiny_autoencoder: Any) -> Path:
    """An exported folder."""
    settings, weights = Autoencoder.model_validate(tiny_autoencoder()), tmp_path / "autoencoder.safetensors"
    save_autoencoder(weights, Bright(settings, 32, 1), settings, 32, 1)
    (tmp_path / "tiny").mkdir()
    write_weights(tmp_path / "tiny", {"autoencoder": weights})
    (tmp_path / "tiny" / "settings.json").write_text('{"dataset": {"crop": "pad"}}')
    write_sums(tmp_path / "tiny")
    return tmp_path / "tiny"


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; /plain/... is elsewhere, without encryption."""

    def do_GET(self) -> None:
        if self.path.startswith("/plain/"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("/plain", f"http://localhost:{self.server.server_port}"))
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture
def release(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release's folder with the model's zip."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "release").mkdir()
    shutil.make_archive(str(tmp_path / "release" / "tiny"), "zip", folder.parent, "tiny")
    write_sums(tmp_path / "release")
    return tmp_path / "release"


@pytest.fixture
def server(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """An https server of the release, with a certificate that this process trusts."""
    words = "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -keyout key -out certificate"
    made = [*words.split(), "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate"))
    monkeypatch.setenv("no_proxy", "localhost")
    server = ThreadingHTTPServer(("localhost", 0), partial(Handler, directory=str(release)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def address(server: ThreadingHTTPServer) -> str:
    return f"https://localhost:{server.server_port}/tiny.zip"


def test_a_released_model_decodes_like_its_folder_and_its_pinned_address_needs_no_network(
    folder: Path, release: Path, server: ThreadingHTTPServer, address: str, tmp_path: Path
) -> None:
    codes = torch.rand(1, 2, 4, 4)
    expected = load_autoencoder(folder).decode(codes)[0].tobytes()
    model = load_autoencoder(address)
    assert model.decode(codes)[0].tobytes() == expected
    assert model.dataset is not None and model.dataset.crop == "pad"
    sha = sha256((release / "tiny.zip").read_bytes()).hexdigest()
    assert [path.name for path in (tmp_path / "cache" / "bright-pipeline").iterdir()] == [f"tiny-{sha}"]
    server.shutdown()
    server.server_close()
    assert load_autoencoder(f"{address}#sha256={sha}").decode(codes)[0].tobytes() == expected
    with pytest.raises(InputError, match=r"SHA256SUMS: download failed"):
        load_autoencoder(address)


@pytest.mark.parametrize("name", ["settings.json", "autoencoder.safetensors"])
def test_a_damaged_model_in_the_cache_is_refused_though_its_zip_had_no_checksums(
    folder: Path, release: Path, address: str, tmp_path: Path, name: str
) -> None:
    (folder / "SHA256SUMS").unlink()
    shutil.make_archive(str(release / "tiny"), "zip", folder.parent, "tiny")
    write_sums(release)
    load_autoencoder(address)
    (cached,) = (tmp_path / "cache").rglob(name)
    cached.write_bytes(cached.read_bytes()[:-1] + b" ")
    pinned = f"{address}#sha256={sha256((release / 'tiny.zip').read_bytes()).hexdigest()}"
    for each in (address, pinned):
        with pytest.raises(InputError, match=rf"{name}: damaged or replaced: sha256 is"):
            load_autoencoder(each)


def test_codes_that_are_no_numbers_are_one_line(folder: Path) -> None:
    with pytest.raises(InputError, match="codes with NaN or infinite values"):
        load_autoencoder(folder).decode(torch.full((1, 2, 4, 4), torch.nan))
    no_numbers, decoder = torch.full((1, 2, 4, 4), torch.nan), load_autoencoder(folder).autoencoder
    with pytest.raises(InputError, match="codes with NaN or infinite values"):
        next(sample(lambda indices: no_numbers, decoder, range(1), 1))
    with pytest.raises(InputError, match="a Gaussian of codes takes two training images or more"):
        fit_gaussian(torch.ones(1, 2, 4, 4))


def test_two_codes_are_enough_for_a_normal_distribution_and_images_are_32_bit_floats() -> None:
    mean, _ = fit_gaussian(torch.stack([torch.zeros(2, 4, 4), torch.ones(2, 4, 4)]))
    assert mean.flatten().tolist() == pytest.approx([0.5] * 32)
    in_half = SimpleNamespace(decode=lambda codes: codes.half())
    assert decode_finite(in_half, torch.zeros(1, 2, 4, 4)).dtype == torch.float32


def test_a_cache_that_cannot_be_made_and_a_host_that_is_none_are_one_line(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"https://\[::1/SHA256SUMS: download failed"):
        load_autoencoder("https://[::1/m.zip")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"file/bright-pipeline: no folder for released models .*; set XDG_CACHE_HOME"):
        load_autoencoder("https://a/m.zip")


def replace_zip(release: Path, *names: str, size: int = 8) -> None:
    """Put another zip, with members of this size, and its checksum in the release."""
    with zipfile.ZipFile(release / "tiny.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, bytes(size))
    write_sums(release)


Change = Callable[[Path, pytest.MonkeyPatch], object]
CHANGES: dict[str, tuple[Change, str]] = {
    "other bytes": (lambda release, _: (release / "tiny.zip").write_bytes(b"other"), "damaged or replaced: sha256 is"),
    "no line": (lambda release, _: (release / "SHA256SUMS").write_text(""), "has no checksum of tiny.zip"),
    "no list": (lambda release, _: (release / "SHA256SUMS").unlink(), "SHA256SUMS: download failed .*404"),
    "large": (lambda _, patch: patch.setattr(released, "MAX_MODEL_BYTES", 9999), "tiny.zip: more than 9,999 bytes"),
    "no zip": (lambda release, _: ((release / "tiny.zip").write_bytes(b"x"), write_sums(release)), "no readable zip"),
    "twice": (lambda release, _: replace_zip(release, "tiny/a", "tiny/a/b"), "no readable zip"),
    "bomb": (lambda release, patch: replace_zip(release, "tiny/a", size=2**20), "bytes unpacked, which is too large"),
    "many": (
        lambda release, _: replace_zip(release, *map("tiny/{}".format, range(101))),
        "101 files, which are too many",
    ),
    "no model": (lambda release, _: replace_zip(release, "tiny/README.md"), "has no autoencoder.safetensors"),
} | {
    path: (lambda release, _, path=path: replace_zip(release, "tiny/a", path), "is no path of an exported folder")
    for path in ("../x", "/x", "tiny/../../x", "tiny/.ssh/x", "x", "tiny\\..\\..\\x", "a/b/c/d", "tiny/..")
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_no_verified_model_gets_one_line_and_leaves_no_file(release, address, tmp_path, monkeypatch, name):
    monkeypatch.setattr(released, "MAX_MODEL_BYTES", 2**19)
    change, words = CHANGES[name]
    change(release, monkeypatch)
    before = {*tmp_path.rglob("*"), tmp_path / "cache", tmp_path / "cache" / "bright-pipeline"}
    with pytest.raises(InputError, match=words) as caught:
        load_autoencoder(address)
    assert len(str(caught.value).splitlines()) == 1
    assert set(tmp_path.rglob("*")) <= before


@pytest.mark.parametrize("address", ["http://a/b.zip", "file:///a/b.zip", "https://a/b.tar", "https://a/.b.zip",
    "https:///b.zip", "https://a/b.zip?c", "https://a/b.zip#sha256=" + "../x" * 16,
    f"https://a/{'b' * 200}.zip"])  # fmt: skip
def test_other_addresses_are_refused_before_anything_is_sent(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(released, "_download", lambda *_: pytest.fail("nothing may be sent"))
    with pytest.raises(InputError, match=r"must be https://HOST/PATH/NAME.zip"):
        load_autoencoder(address)


def test_unencrypted_redirections_and_unknown_certificates_are_refused(address, monkeypatch) -> None:
    with pytest.raises(InputError, match=r"download failed \(.*unknown url type: http"):
        load_autoencoder(address.replace("/tiny", "/plain/tiny"))
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(InputError, match=r"download failed .*CERTIFICATE_VERIFY_FAILED"):
        load_autoencoder(address)


def test_a_damaged_folder_is_refused_before_it_is_read(folder: Path) -> None:
    weights = folder / "autoencoder.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"x")
    with pytest.raises(InputError, match=rf"{weights}: damaged or replaced: sha256 is \w+..., should be \w+"):
        load_autoencoder(folder)
    weights.write_bytes(content)
    (folder / "README.md").write_text("A card may change.")
    load_autoencoder(folder)
    sums = folder / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if "settings" not in line))
    with pytest.raises(InputError, match=rf"{sums}: has no checksum of settings.json"):
        load_autoencoder(folder)
    sums.unlink()
    load_autoencoder(folder)
