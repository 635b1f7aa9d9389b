"""Released models: the zip of an exported folder at an https address, verified before anything in it is read."""

import os
import re
import shutil
import tempfile
import urllib.request as requests
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from bright_pipeline.base.errors import InputError, readable
from bright_pipeline.engine.atomic import new_folder, write_text
from bright_pipeline.engine.checksums import SHOWN_DIGITS, SUMS, take_checksum
from bright_pipeline.settings.weights import EXPORTED

LINE = re.compile(r"^([0-9a-f]{64}) [ *](.+)$", re.MULTILINE)  # of a SHA256SUMS, as `sha256sum -c` reads it
ADDRESS = re.compile(r"(https://[^/?#]+/(?:[^?#]*/)?(\w[\w.-]{0,150}\.zip))(?:#sha256=([0-9a-f]{64}))?")
MEMBER = re.compile(r"(?:\w[\w.-]*/){1,2}\w[\w.-]*")  # NAME/file or NAME/unet/file: no path leaves its folder
MAX_LIST_BYTES = 2**20
MAX_MODEL_BYTES = 8 * 2**30  # of the zip, and of its content: several times the paper's largest model
MAX_MEMBERS = 100  # an exported folder has about ten files
TIMEOUT_S = 30


def write_sums(folder: Path) -> None:
    """Write the SHA256SUMS of all files in a folder and its sub-folders."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / SUMS]
    lines = [f"{take_checksum(path).sha256}  {path.relative_to(folder).as_posix()}\n" for path in files]
    write_text(folder / SUMS, "".join(lines))


def check_sums(folder: Path, files: Iterable[Path]) -> None:
    """InputError if a file differs from its line in the folder's SHA256SUMS; without that file nothing is checked."""
    for path in files if (folder / SUMS).is_file() else ():
        expected = _listed(folder / SUMS, path.relative_to(folder).as_posix(), str(folder / SUMS))
        _compare(path, expected, str(path))


def fetch_model(address: str) -> Path:
    """The folder of a released model, from the user's cache or downloaded into it.

    address: of a zip, `https://HOST/PATH/NAME.zip`, with a SHA256SUMS beside it; or with the checksum itself,
    `https://HOST/PATH/NAME.zip#sha256=...`, which also works without a network once the model is in the cache.
    InputError: another scheme, no network, a wrong checksum, too many bytes, or a zip that is no exported folder.
    """
    if not (parts := ADDRESS.fullmatch(address)):
        raise InputError(f"{address}: must be https://HOST/PATH/NAME.zip, as releases have it, the name not too long")
    url, name, sha256 = parts.groups()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bright-pipeline"
    with readable(f"{cache}: no folder for released models", "; set XDG_CACHE_HOME to a writable folder"):
        cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as temporary:
        archive, sums = Path(temporary) / name, Path(temporary) / SUMS
        if sha256 is None:
            address_of_sums = url.removesuffix(name) + SUMS
            _download(address_of_sums, sums, MAX_LIST_BYTES)
            sha256 = _listed(sums, name, address_of_sums)
        folder = cache / f"{name.removesuffix('.zip')}-{sha256}"
        if not folder.exists():
            _download(url, archive, MAX_MODEL_BYTES)
            _compare(archive, sha256, url)
            try:
                with new_folder(folder) as new:
                    _unpack(archive, new, url)
            except InputError:
                if not folder.exists():  # another process was faster
                    raise
    check_sums(folder, [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / SUMS])
    return folder


def _listed(sums: Path, name: str, source: str) -> str:
    """The sha256 of a file in a SHA256SUMS; source: its path or address, for the message."""
    listed = {name: sha256 for sha256, name in LINE.findall(sums.read_text(encoding="utf-8", errors="replace"))}
    if name not in listed:
        raise InputError(f"{source}: has no checksum of {name}")
    return listed[name]


def _compare(path: Path, expected: str, source: str) -> None:
    if (sha256 := take_checksum(path).sha256) != expected:
        digits = f"sha256 is {sha256[:SHOWN_DIGITS]}..., should be {expected[:SHOWN_DIGITS]}..."
        raise InputError(f"{source}: damaged or replaced: {digits}; restore the file from its source")


def _download(url: str, path: Path, limit: int) -> None:
    """Download a file of at most `limit` bytes. Redirections away from https fail: no other scheme has a handler."""
    opener, size = requests.OpenerDirector(), 0
    for handler in ("Proxy", "HTTPS", "HTTPRedirect", "HTTPDefaultError", "Unknown"):
        opener.add_handler(getattr(requests, f"{handler}Handler")())
    opener.add_handler(requests.HTTPErrorProcessor())
    with readable(f"{url}: download failed", "; give a folder instead if offline"):
        request = requests.Request(url, headers={"User-Agent": "bright-pipeline"})
        with opener.open(request, timeout=TIMEOUT_S) as answer, path.open("wb") as file:
            while chunk := answer.read(2**20):
                if (size := size + len(chunk)) > limit:
                    raise InputError(f"{url}: more than {limit:,} bytes, which is too large for a release")
                file.write(chunk)


def _unpack(archive: Path, folder: Path, url: str) -> None:
    """Write the members NAME/... of a zip into a folder; InputError for any other path, before anything is written."""
    with readable(f"{url}: no readable zip"), zipfile.ZipFile(archive) as opened:
        members = [member for member in opened.infolist() if not member.is_dir()]
        if strange := [member.filename for member in members if not MEMBER.fullmatch(member.filename)]:
            raise InputError(f"{url}: {strange[0]!r} is no path of an exported folder")
        if len(members) > MAX_MEMBERS:
            raise InputError(f"{url}: {len(members):,} files, which are too many for an exported folder")
        if sum(member.file_size for member in members) > MAX_MODEL_BYTES:
            raise InputError(f"{url}: more than {MAX_MODEL_BYTES:,} bytes unpacked, which is too large")
        for member in members:
            path = folder.joinpath(*PurePosixPath(member.filename).parts[1:])
            path.parent.mkdir(exist_ok=True)
            with opened.open(member) as source, path.open("xb") as file:
                shutil.copyfileobj(source, file)
    if not any((folder / file).is_file() for file in EXPORTED.values()):
        raise InputError(f"{url}: has no {EXPORTED['autoencoder']} and no other model")
    if not (folder / SUMS).is_file():  # each later use compares the files with those of the verified zip
        write_sums(folder)
