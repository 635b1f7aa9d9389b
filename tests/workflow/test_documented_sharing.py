"""What the pages say of git, DVC and gto: what is tracked, sent, pulled, compared and cleared."""

import json
import shutil
from pathlib import Path

import pytest
from documented import ROOT
from repository import times
from typed import Place, Places, documented

pytestmark = pytest.mark.slow

STORE = "results/store"
PLUGINS = ("pip install '.[ssh]'", "pip install '.[s3]'")


def tracked(places: Places) -> Place:
    """A finished clone as git and DVC repository, its code committed; no result is tracked."""

    def make(folder: Path) -> None:
        shutil.copytree(places.finished.folder, folder, symlinks=True)
        (folder / "results/networks").unlink()
        ignored = shutil.ignore_patterns("tmp", "cache", "config.local")
        shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=ignored)
        for name in (".dvcignore", ".gitignore", "dvc.yaml"):
            shutil.copy(ROOT / name, folder)
        place = Place(folder)
        place.git("init", "--quiet")
        place.git("add", "--", *(path.name for path in folder.iterdir() if path.name not in ("results", ".git")))
        place.git("commit", "--quiet", "--message", "Code")

    return places.made("tracked", make)


def shared(places: Places) -> Place:
    """The same after the README's commands: tracked, committed, pushed into the folder `remote` beside it."""

    def make(folder: Path) -> None:
        shutil.copytree(tracked(places).folder, folder, symlinks=True)
        place = Place(folder)
        set_remote(place, str(places.folder / "remote"))
        place.call("bright", "share")
        place.commit("Results of the demo")
        place.call("dvc", "push")

    return places.made("shared", make)


def clone(places: Places, origin: Place) -> Place:
    """A fresh clone: what git holds."""
    return Place(origin.clone(places.new_folder()).folder, places.deaf)


def compared(places: Places) -> Place:
    """A clone whose numbers, keys and curves differ in the last two commits, and now."""

    def make(folder: Path) -> None:
        place = Place(shared(places).clone(folder).folder)
        change(place, 20.0, 64)
        place.commit("Trained longer")
        change(place, 30.0, 96)

    return places.made("compared", make)


def change(place: Place, psnr: float, images: int) -> None:
    metrics, config = place.path("results/tiny/metrics.json"), place.path("results/tiny/config.yaml")
    numbers = json.loads(metrics.read_text())
    numbers["reconstruction"]["main"]["psnr"] = psnr
    metrics.write_text(json.dumps(numbers))
    text = config.read_text()
    (old,) = {line for line in text.splitlines() if "images: " in line and line.split()[-1] in ("48", "64")}
    config.write_text(text.replace(old, f"{old.partition(':')[0]}: {images}"))


def set_remote(place: Place, url: str, file: str = "config") -> None:
    """Where `dvc push` sends to, in this file of .dvc."""
    text = f"[core]\n    remote = colleagues\n['remote \"colleagues\"']\n    url = {url}\n"
    (place.folder / ".dvc" / file).write_text(text)


def payload_folders(place: Place) -> set[str]:
    """The folders of the store that have files here."""
    return {str(Path(path).parent) for path in place.payloads()}


@documented(
    *(
        f"dvc remote add --default colleagues {url}"
        for url in ("/path/or/url", "/shared/folder", "ssh://user@host/path", "s3://bucket/path")
    ),
    says=("once: a folder, ssh://..., s3://...", "The remote is in `.dvc/config`, which git holds", *PLUGINS),
)
def test_the_remote_is_in_a_file_that_git_holds(places: Places, line: str) -> None:
    place = places.copy_of(tracked(places))
    place.type(line)
    assert f"url = {line.split()[-1]}\n" in place.text(".dvc/config")
    assert "remote = colleagues\n" in place.text(".dvc/config")
    assert place.git("status", "--short", ".dvc").text.split() == ["M", ".dvc/config"]


@documented(
    "dvc remote modify --local colleagues keyfile ~/.ssh/id_ed25519",
    "dvc remote modify --local colleagues endpointurl http://127.0.0.1:9000",
    "dvc remote modify --local colleagues profile mine",
    says="What belongs to one machine goes into `.dvc/config.local`, which it does not",
)
def test_what_belongs_to_one_machine_is_not_in_git(places: Places, line: str) -> None:
    place = places.copy_of(tracked(places))
    url = "ssh://user@host/path" if "keyfile" in line else "s3://bucket/path"
    set_remote(place, url, "config.local")
    place.type(line)
    key, value = line.split()[-2:]
    assert f"{key} = {Path(value).expanduser() if key == 'keyfile' else value}\n" in place.text(".dvc/config.local")
    assert place.git("status", "--short", ".dvc").text == ""


@documented(
    "dvc remote modify colleagues verify true",
    says="DVC takes it as it comes, unless you say once that it is to be verified",
)
def test_what_is_pulled_can_be_verified(places: Places, line: str) -> None:
    place = places.copy_of(tracked(places))
    set_remote(place, "/path/or/url")
    place.type(line)
    assert "verify = true\n" in place.text(".dvc/config")


@documented(
    "bright share",
    says=(
        "tracks the results of config/demo.yaml, or of the configs named",
        "config/demo.yaml; or name your configs",
        "puts one small file beside each finished result of a config",
        "Files stay as they are, and so do their times",
    ),
)
def test_each_result_is_tracked_and_stays_as_it_is(places: Places, line: str) -> None:
    place = places.copy_of(tracked(places))
    before = times(place.folder / STORE)
    place.type(line)
    folders = {path for path in (place.folder / STORE).glob("*/*") if path.is_dir()}
    files = set((place.folder / STORE).glob("*/*.dvc"))
    assert {path.with_suffix("") for path in files} == folders
    assert times(place.folder / STORE) == before
    assert place.git("log", "--format=%s").text.split() == ["Code"]


@documented(
    'git add results .dvc/config && git commit -m "Results of the demo"',
    says="Each result has a small `.dvc` file of its own beside its folder, which git holds",
)
def test_git_holds_small_files_alone(places: Places, line: str) -> None:
    place = places.copy_of(shared(places))
    place.git("reset", "--quiet", "HEAD~1")
    place.type(line)
    held = place.git("ls-tree", "-r", "--name-only", "HEAD", "results", ".dvc/config").text.split()
    assert {".dvc/config", "results/tiny/metrics.json"} < set(held)
    of_store = {path for path in held if path.startswith(STORE)}
    assert of_store == {str(path.relative_to(place.folder)) for path in (place.folder / STORE).glob("*/*.dvc")}


@documented("dvc push", says="DVC](https://dvc.org) carries what git does not")
def test_results_are_pushed(places: Places, line: str) -> None:
    place = places.copy_of(shared(places))
    remote = places.new_folder()
    set_remote(place, str(remote))
    place.type(line)
    sent = [path.read_bytes() for path in remote.rglob("*") if path.is_file()]
    assert set(place.payloads().values()) <= set(sent)


@documented("dvc pull", says=("everything", "`dvc pull` that folder"))
def test_a_colleague_pulls_everything(places: Places, line: str) -> None:
    place = clone(places, shared(places))
    assert place.payloads() == {}
    place.type(line)
    assert place.payloads() == shared(places).payloads()


@documented("dvc pull results/store/autoencoders/main-3fa9c1d20b7e", says=("or a part", "one trained autoencoder"))
def test_a_colleague_pulls_a_part(places: Places, line: str) -> None:
    place = clone(places, shared(places))
    folder = shared(places).path(f"{STORE}/autoencoders/main-????????????")
    name = str(folder.relative_to(shared(places).folder))
    place.type(line.replace(line.split()[-1], name))
    assert payload_folders(place) == {name.removeprefix(f"{STORE}/")}


@documented("bright share --list samples mine.yaml | xargs -r dvc pull", says="a section of the store, for one config")
def test_a_colleague_pulls_a_section(places: Places, line: str) -> None:
    place = clone(places, shared(places))
    place.type(line.replace("mine.yaml", "config/demo.yaml"))
    samples = {path.relative_to(shared(places).folder / STORE) for path in shared(places).folders("samples")}
    assert payload_folders(place) == {str(path) for path in samples if path.suffix != ".dvc"}


@documented(
    "dvc metrics show",
    "dvc metrics diff",
    "dvc metrics diff HEAD~1",
    "dvc params diff",
    "dvc params diff HEAD~1",
    says=(
        "makes `dvc metrics show`, `dvc metrics diff`, `dvc params diff`",
        "the numbers of the commit before the last, and of now",
        "the config keys that changed",
    ),
)
def test_numbers_and_keys_of_commits_are_compared(places: Places, line: str) -> None:
    found = json.loads(compared(places).look(f"{line} --json").text or "{}")
    before = {"HEAD~1": None, "diff": "last"}.get(line.split()[-1], "now")
    if line == "dvc metrics show":
        (metrics,) = (one["data"] for path, one in found[""]["data"].items() if path == "results/tiny/metrics.json")
        assert metrics["reconstruction"]["main"]["psnr"] == 30.0
    elif "metrics" in line:
        changed = found["results/tiny/metrics.json"]["reconstruction.main.psnr"]
        first = json.loads(shared(places).text("results/tiny/metrics.json"))["reconstruction"]["main"]["psnr"]
        assert (changed["old"], changed["new"]) == (20.0 if before == "last" else first, 30.0)
    else:
        changed = found["results/tiny/config.yaml"]["autoencoders.main.training.images"]
        assert (changed["old"], changed["new"]) == (64 if before == "last" else 48, 96)


@documented("dvc plots show", says="writes dvc_plots/index.html")
def test_curves_and_figures_become_a_page(places: Places, line: str) -> None:
    place = places.copy_of(compared(places))
    place.type(line)
    assert "training images" in place.text("dvc_plots/index.html")
    place.path("dvc_plots/static/workspace*fig06.png")


@documented("dvc plots diff HEAD~1", says="curves of both in one plot, figures side by side")
def test_curves_and_figures_of_two_commits_are_compared(places: Places, line: str) -> None:
    place = places.copy_of(compared(places))
    place.type(line)
    page = place.text("dvc_plots/index.html")
    assert page.count("HEAD~1") > 1 < page.count("workspace")
    for commit in ("HEAD~1", "workspace"):
        place.path(f"dvc_plots/static/{commit}*fig06.png")


@documented(
    "dvc repro", "dvc exp run", says="`dvc repro` and `dvc exp run` make nothing, and end with a line that says so"
)
def test_dvc_makes_nothing(places: Places, line: str) -> None:
    place = clone(places, shared(places))
    told = place.type(line, expect=255).text
    assert "error: DVC makes nothing here; type snakemake (docs/sharing.md)" in told.splitlines()
    assert place.git("status", "--short").text == ""


@documented("gto register results/demo:autoencoder-main --version v1.0.0", says="A version of a model is a tag in git")
def test_a_version_of_a_model_is_a_tag(places: Places, line: str) -> None:
    place = clone(places, shared(places))
    place.type(line.replace("demo", "tiny"))
    assert place.git("tag").text.split() == ["results/tiny=autoencoder-main@v1.0.0"]


@documented("git push --tags", says="A version of a model is a tag in git")
def test_the_tag_is_pushed(places: Places, line: str) -> None:
    place = clone(places, origin := clone(places, shared(places)))
    place.git("tag", "results/tiny=autoencoder-main@v1.0.0")
    place.type(line)
    assert origin.git("tag").text.split() == ["results/tiny=autoencoder-main@v1.0.0"]


@documented(
    "dvc artifacts get https://example.org/repository.git results/demo:autoencoder-main --rev v1.0.0",
    "dvc artifacts get",
    says=("needs neither a clone nor the rest", "and `dvc artifacts get` work"),
)
def test_the_weights_of_a_version_are_fetched_alone(places: Places, line: str) -> None:
    origin = clone(places, shared(places))
    origin.git("tag", "--annotate", "--message", "v1", "results/tiny=autoencoder-main@v1.0.0")
    arguments = f"{origin.folder} results/tiny:autoencoder-main --rev v1.0.0"
    place = Place(places.new_folder(), places.deaf)
    place.folder.mkdir()
    place.type(f"dvc artifacts get {arguments}")
    weights = shared(places).path(f"{STORE}/autoencoders/main-*/autoencoder.safetensors")
    assert place.files(".") == {"autoencoder.safetensors": weights.read_bytes()}


@documented("dvc config cache.dir /big/disk/cache", says="Elsewhere, `dvc config cache.dir /big/disk/cache` moves it")
def test_the_cache_moves(places: Places, line: str) -> None:
    place = places.copy_of(tracked(places))
    cache = places.new_folder()
    place.type(line.replace("/big/disk/cache", str(cache)))
    (place.folder / "one").write_text("a result")
    place.call("dvc", "add", "one")
    assert [path.read_text() for path in cache.rglob("*") if path.is_file()] == ["a result"]


@documented(
    "dvc gc --workspace",
    "dvc gc --workspace --cloud",
    says="clears the cache of what no `.dvc` file names, and `dvc gc --workspace --cloud` the remote too",
)
def test_what_no_file_names_is_cleared(places: Places, line: str) -> None:
    place = places.copy_of(shared(places))
    remote = shutil.copytree(places.folder / "remote", places.new_folder())
    set_remote(place, str(remote))
    file = place.path(f"{STORE}/reports/*.dvc")
    page = place.path(f"{STORE}/reports/*/report.html").read_bytes()
    kept = place.path(f"{STORE}/autoencoders/main-*/autoencoder.safetensors").read_bytes()
    file.unlink()
    place.type(f"{line} <<< y")
    cache = place.files(".dvc/cache").values()
    assert page not in cache
    assert kept in cache
    of_remote = [path.read_bytes() for path in remote.rglob("*") if path.is_file()]
    assert (page in of_remote) == ("--cloud" not in line)
    assert kept in of_remote


@documented("git checkout", says="`git checkout` the file that it names")
def test_a_damaged_fingerprint_is_checked_out(places: Places, line: str) -> None:
    place = clone(places, shared(places))
    file = min((place.folder / "results/fingerprints").iterdir())
    content = file.read_bytes()
    file.write_text("damaged")
    place.type(f"{line} {file.relative_to(place.folder)}")
    assert file.read_bytes() == content
