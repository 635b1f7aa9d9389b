"""Results travel: tracked, pushed and pulled by DVC, then nothing is computed twice."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
import yaml
from daemons import Unavailable
from repository import Repository, finished_repository, times
from servers import SSHServer, s3_server, ssh_server
from tiny_workflow import AFTER_METRICS, TABLE2_ALONE, Run, Workflow

pytestmark = pytest.mark.slow


class Shared(NamedTuple):
    """A repository whose finished tiny run was shared."""

    repository: Repository
    said: Run
    """What the command that tracks said."""
    touched: set[Path]
    """Payloads whose times it changed."""


@pytest.fixture(scope="module")
def shared(tiny_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """The finished tiny run, tracked, committed and pushed into a folder; only to be cloned."""
    folder = tmp_path_factory.mktemp("shared")
    repository = finished_repository(folder / "repository", tiny_run)
    repository.python("pipeline.commands.prune", "config.yaml", "--yes")  # a kept tiny run has results of older code
    before = times(repository.folder / "results" / "store")
    said = repository.python("pipeline.commands.share", "config.yaml")
    after = times(repository.folder / "results" / "store")
    repository.dvc("remote", "add", "--default", "colleagues", str(folder / "remote"))
    repository.commit("A tiny run")
    repository.dvc("push")
    return Shared(repository, said, {path for path, moment in after.items() if before.get(path) != moment})


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SSHServer]:
    """An OpenSSH server; the tests that use it are skipped, with the reason, where there can be none."""
    try:
        with ssh_server(tmp_path_factory.mktemp("sshd")) as server:
            yield server
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_every_result_has_a_file_that_git_holds_and_no_payload_is_touched(shared: Shared) -> None:
    repository = shared.repository
    held = set(repository.git("ls-files", "results").text.split())
    folders = [path for path in (repository.folder / "results" / "store").glob("*/*") if path.is_dir()]
    names = {f"{folder.relative_to(repository.folder)}.dvc" for folder in folders}
    assert names == {path for path in held if path.startswith("results/store/")}
    assert {path.split("/")[1] for path in held} == {"fingerprints", "identities", "store", "tiny"}
    assert f"{len(folders)} results tracked" in shared.said.text
    assert shared.touched == set()
    assert repository.git("status", "--short").text == ""


def test_a_fresh_clone_computes_nothing_twice(shared: Shared, tmp_path: Path) -> None:
    clone = shared.repository.clone(tmp_path / "clone")
    assert clone.payloads() == {}
    clone.dvc("pull")
    assert clone.payloads() == shared.repository.payloads()
    assert clone.run("-n").nothing_to_do

    metrics = clone.folder / "pipeline/evaluation/metrics.py"
    code = metrics.read_text()
    metrics.write_text(code + "\n\nANOTHER_NUMBER = 1\n")
    assert clone.run("-n").jobs == AFTER_METRICS
    metrics.write_text(code)

    shard = min((clone.folder / "results/store/samples").glob("main-*/images-*.zip"))
    images = shard.read_bytes()
    shard.unlink()
    assert clone.run().jobs == {"generate": 1}
    assert shard.read_bytes() == images
    assert clone.run().nothing_to_do
    said = clone.python("pipeline.commands.share", "config.yaml").text
    assert "0 .dvc files are new or changed" in said
    assert clone.git("status", "--short").text == ""


def test_damage_is_neither_tracked_nor_spread(shared: Shared, tmp_path: Path) -> None:
    clone = shared.repository.clone(tmp_path / "clone")
    clone.dvc("pull")
    before = clone.git("status", "--short").text
    (codes, *_) = sorted(clone.folder.glob("results/store/codes/*/codes.safetensors"))
    content = codes.read_bytes()
    codes.unlink()  # a link into the cache, or a file of its own
    codes.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    line = f"error: nothing is tracked: {codes.relative_to(clone.folder)}: damaged: sha256 is"
    assert line in clone.python("pipeline.commands.share", "config.yaml", expect=2).text
    assert clone.git("status", "--short").text == before
    clone.python("pipeline.commands.verify", "config.yaml", "--repair")
    clone.dvc("checkout", str(codes.parent))
    assert codes.read_bytes() == content
    clone.python("pipeline.commands.verify", "config.yaml")


def test_damage_that_nobody_tracked_yet_is_refused(tiny_run: Workflow, tmp_path: Path) -> None:
    repository = finished_repository(tmp_path / "repository", tiny_run)
    (table, *_) = sorted(repository.folder.glob("results/store/tables/table2-*/table.csv"))
    table.write_text("nothing")
    said = repository.python("pipeline.commands.share", "config.yaml", expect=2).text
    assert f"error: nothing is tracked: {table.relative_to(repository.folder)}: damaged: 7 bytes, should be" in said
    assert not list(repository.folder.glob("results/store/*/*.dvc"))


def test_what_a_remote_damaged_is_not_pulled_and_can_be_sent_again(shared: Shared, tmp_path: Path) -> None:
    ours = shared.repository.clone(tmp_path / "ours")
    ours.dvc("pull")
    remote = tmp_path / "remote"
    ours.dvc("remote", "add", "--default", "--force", "colleagues", str(remote))
    ours.dvc("remote", "modify", "colleagues", "verify", "true")
    path = str(min(ours.folder.glob("results/store/codes/*/")).relative_to(ours.folder))
    ours.commit("A remote of its own")
    ours.dvc("push", path)
    sent = remote / "files" / "md5" / place_of(md5_of(ours.folder / path / "codes.safetensors"))
    sent.chmod(0o644)
    sent.write_bytes(b"damaged")

    theirs = ours.clone(tmp_path / "theirs")
    assert theirs.dvc("pull", path, expect=1).text
    assert not (theirs.folder / path / "codes.safetensors").exists()

    ours.dvc("push", path)
    assert not sent.exists() or sent.read_bytes() == b"damaged"
    sent.unlink(missing_ok=True)
    listed = yaml.safe_load((ours.folder / f"{path}.dvc").read_text())["outs"][0]["md5"]
    (remote / "files" / "md5" / place_of(listed)).unlink()
    ours.dvc("push", path)
    theirs.dvc("pull", path)
    assert files_of(theirs.folder / path) == files_of(ours.folder / path)


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def md5_of(path: Path) -> str:
    """What DVC names a file by."""
    return hashlib.md5(path.read_bytes()).hexdigest()


def place_of(md5: str) -> str:
    """Where DVC's remote has an object."""
    return f"{md5[:2]}/{md5[2:]}"


def test_a_pulled_autoencoder_is_not_trained_again(shared: Shared, tmp_path: Path, networks_folder: Path) -> None:
    clone = shared.repository.clone(tmp_path / "clone")
    (clone.folder / "results/networks").symlink_to(networks_folder.resolve())
    trained = artifacts(clone)["autoencoder-main"]
    clone.dvc("pull", str(trained.parent))
    assert {Path(path).parent.name for path in clone.payloads()} == {trained.parent.name}

    plan = clone.run("-n")
    assert plan.jobs["train_autoencoder"] == 1, "the other one alone"
    assert "Training autoencoders.main" not in plan.text
    downstream = {"prepare_dataset", "reconstruct", "dump_codes", "explore_codes", "train_diffusion", "generate"}
    assert downstream <= plan.jobs.keys()

    listed = clone.python("pipeline.commands.share", "config.yaml", "--list", "datasets").text.split()
    clone.dvc("pull", *listed)
    assert clone.run("table2").jobs == TABLE2_ALONE
    table = "results/tiny/tables/table2.csv"
    assert (clone.folder / table).read_bytes() == (shared.repository.folder / table).read_bytes()


def artifacts(repository: Repository) -> dict[str, Path]:
    """Trained weights by the names that DVC shows."""
    shown = yaml.safe_load((repository.folder / "results/tiny/dvc.yaml").read_text())["artifacts"]
    folder = repository.folder / "results/tiny"
    return {name: (folder / facts["path"]).resolve().relative_to(repository.folder) for name, facts in shown.items()}


def test_results_travel_through_an_ssh_server(
    shared: Shared, sshd: SSHServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(sshd.home))
    url = f"ssh://{sshd.user}@127.0.0.1:{sshd.port}{tmp_path}/remote"
    travels(shared.repository, tmp_path, url, keyfile=str(sshd.key))
    assert any((tmp_path / "remote" / "files" / "md5").iterdir())


def test_results_travel_through_an_s3_bucket(shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with s3_server() as address:
        bucket = boto3.client("s3", endpoint_url=address)
        bucket.create_bucket(Bucket="results")
        travels(shared.repository, tmp_path, "s3://results/tiny", endpointurl=address)
        assert bucket.list_objects_v2(Bucket="results")["KeyCount"] > 0


def travels(repository: Repository, folder: Path, url: str, **options: str) -> None:
    """Pushed to the remote by one clone, pulled from it by another, where nothing is to be done."""
    repository.remote("far", url, **options)
    repository.dvc("push", "--remote", "far")
    clone = repository.clone(folder / "clone")
    clone.remote("far", url, **options)
    clone.dvc("pull", "--remote", "far")
    assert clone.payloads() == repository.payloads()
    assert clone.run("-n").nothing_to_do


def test_two_commits_are_compared_and_their_models_fetched(
    shared: Shared, tmp_path: Path, networks_folder: Path
) -> None:
    clone = shared.repository.clone(tmp_path / "clone")
    clone.dvc("pull")
    (clone.folder / "results/networks").symlink_to(networks_folder.resolve())
    clone.call("gto", "register", "results/tiny:autoencoder-main", "--version", "v1.0.0")
    before, trained = metrics_of(clone), weights_of(clone)
    clone.dvc("plots", "show")
    page = (clone.folder / "dvc_plots/index.html").read_text(encoding="utf-8")
    assert "training images" in page
    assert list((clone.folder / "dvc_plots/static").glob("workspace*fig06.png"))

    def longer(config: dict[str, Any]) -> None:
        config["autoencoders"]["main"]["training"]["images"] = 64

    clone.configure(longer)
    clone.run("table2")
    clone.python("pipeline.commands.share", "config.yaml")
    clone.commit("Trained longer")
    clone.dvc("push")
    after = metrics_of(clone)

    psnr = "reconstruction.main.psnr"
    changes = json.loads(clone.dvc("metrics", "diff", "--json", "HEAD~1", "HEAD").text)["results/tiny/metrics.json"]
    old, new = (metrics["reconstruction"]["main"]["psnr"] for metrics in (before, after))
    assert old != new
    assert (changes[psnr]["old"], changes[psnr]["new"]) == (old, new)
    assert psnr in clone.dvc("metrics", "diff", "HEAD~1", "HEAD").text
    changed = json.loads(clone.dvc("params", "diff", "--json", "HEAD~1", "HEAD").text)["results/tiny/config.yaml"]
    assert changed["autoencoders.main.training.images"] == {"old": 48, "new": 64, "diff": 16}

    clone.dvc("plots", "diff", "HEAD~1")
    assert list((clone.folder / "dvc_plots/static").glob("HEAD~1*fig06.png"))

    clone.call("gto", "register", "results/tiny:autoencoder-main", "--version", "v2.0.0")
    for version, weights in (("v1.0.0", trained), ("v2.0.0", weights_of(clone))):
        got = tmp_path / f"{version}.safetensors"
        name = "results/tiny:autoencoder-main"
        clone.dvc("artifacts", "get", str(clone.folder), name, "--rev", version, "--out", str(got))
        assert got.read_bytes() == weights
    assert trained != weights_of(clone)


def metrics_of(repository: Repository) -> dict[str, Any]:
    return json.loads((repository.folder / "results/tiny/metrics.json").read_text())


def weights_of(repository: Repository) -> bytes:
    return (repository.folder / artifacts(repository)["autoencoder-main"]).read_bytes()
