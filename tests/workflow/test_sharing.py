"""Results travel: tracked, pushed and pulled by DVC, nothing is computed twice, and a look changes no file."""

import csv
import hashlib
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import boto3
import forkserver
import pytest
import yaml
from daemons import Unavailable
from daemons.servers import s3_server, ssh_server
from places import Place, Places
from tiny_workflow import TABLE2_ALONE

CONFIG = "config/demo.yaml"  # the tiny config


@pytest.fixture
def shared(places: Places) -> Place:
    """The finished tiny run, tracked, committed and pushed; only to be cloned."""
    return places.shared("shared")


@pytest.fixture
def clone(places: Places) -> Place:
    """A fresh clone of it, without the store's payloads."""
    return places.copy("clone")


def test_a_fresh_clone_computes_nothing_twice(shared: Place, clone: Place) -> None:
    assert clone.payloads() == {}
    clone.dvc("pull")
    assert clone.payloads() == shared.payloads()
    assert clone.run("-n").nothing_to_do
    (copy,) = clone.folders("../code")
    said = clone.python("bright_pipeline.commands", "provenance", str(clone.folders("autoencoders")[0])).text
    assert re.search(rf"^  made_by: .*version \S+, commit \w+\S*: results/code/{copy.name}'?$", said, re.MULTILINE), (
        said
    )

    shard = min((clone.folder / "results/store/samples").glob("main-*/images-*.zip"))
    images = shard.read_bytes()
    shard.unlink()
    assert clone.run().jobs == {"generate": 1}
    assert shard.read_bytes() == images
    assert clone.run().nothing_to_do
    said = clone.python("bright_pipeline.commands", "share", CONFIG).text
    assert "0 .dvc files are new or changed" in said
    assert clone.git("status", "--short") == ""


def count(folder: Path) -> int:
    """Files in it."""
    return sum(len(names) for _, _, names in os.walk(folder))


def test_a_pull_that_is_killed_half_way_is_finished_by_the_next(shared: Place, clone: Place) -> None:
    environment, whole = clone.environment() | forkserver.REAL_PROCESSES, shared.payloads()
    for folder, files in ((".dvc/cache", 20), (".dvc/cache", 90), ("results/store", 30)):
        enough = files + (0 if folder == ".dvc/cache" else count(clone.folder / folder))  # the .dvc files are there
        pull = subprocess.Popen(["dvc", "pull"], cwd=clone.folder, env=environment, start_new_session=True)
        while count(clone.folder / folder) < enough and pull.poll() is None:
            pass
        os.killpg(pull.pid, signal.SIGKILL)
        assert pull.wait() == -signal.SIGKILL
        here = clone.payloads()
        whole_ones = here.keys() & whole.keys()  # DVC may leave a file with a name of its own that it was copying
        assert len(whole_ones) < len(whole) and all(whole[path] == here[path] for path in whole_ones)
        clone.run("-n")  # what is here counts, and is not damaged
    clone.dvc("pull")
    assert whole.items() <= clone.payloads().items()
    assert clone.run("-n").nothing_to_do


def test_damage_is_neither_tracked_nor_spread(clone: Place) -> None:
    clone.dvc("pull")
    before = clone.git("status", "--short")
    (codes, *_) = sorted(clone.folder.glob("results/store/codes/*/codes.safetensors"))
    content = codes.read_bytes()
    codes.unlink()  # a link into the cache, or a file of its own
    codes.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    line = f"error: nothing is tracked: {codes.relative_to(clone.folder)}: damaged: sha256 is"
    assert line in clone.python("bright_pipeline.commands", "share", CONFIG, expect=2).text
    assert clone.git("status", "--short") == before
    clone.python("bright_pipeline.commands", "verify", CONFIG, "--repair")
    clone.dvc("checkout", str(codes.parent))
    assert codes.read_bytes() == content
    clone.python("bright_pipeline.commands", "verify", CONFIG)


def test_what_a_remote_damaged_is_not_pulled_and_can_be_sent_again(shared: Place, tmp_path: Path) -> None:
    ours = shared.clone(tmp_path / "ours")
    ours.dvc("pull")
    remote = tmp_path / "remote"
    ours.dvc("remote", "add", "--default", "--force", "colleagues", str(remote))
    ours.dvc("remote", "modify", "colleagues", "verify", "true")
    path = str(min(ours.folder.glob("results/store/codes/*/")).relative_to(ours.folder))
    ours.commit("A remote of its own")
    ours.dvc("push", path)

    def stored(md5: str) -> Path:
        return remote / "files" / "md5" / md5[:2] / md5[2:]

    sent = stored(hashlib.md5((ours.folder / path / "codes.safetensors").read_bytes()).hexdigest())
    sent.chmod(0o644)
    sent.write_bytes(b"damaged")
    theirs = ours.clone(tmp_path / "theirs")
    assert theirs.dvc("pull", path, expect=1).text
    assert not (theirs.folder / path / "codes.safetensors").exists()

    ours.dvc("push", path)
    assert not sent.exists() or sent.read_bytes() == b"damaged"
    sent.unlink(missing_ok=True)
    stored(yaml.safe_load((ours.folder / f"{path}.dvc").read_text())["outs"][0]["md5"]).unlink()
    ours.dvc("push", path)
    theirs.dvc("pull", path)
    assert theirs.files(path) == ours.files(path)


def test_a_pulled_autoencoder_is_not_trained_again(shared: Place, clone: Place, networks_folder: Path) -> None:
    (clone.folder / "results/networks").symlink_to(networks_folder.resolve())
    shown = yaml.safe_load(clone.text("results/tiny/dvc.yaml"))["artifacts"]["autoencoder-main"]["path"]
    trained = (clone.folder / "results/tiny" / shown).resolve().relative_to(clone.folder)
    clone.dvc("pull", str(trained.parent))
    assert {Path(path).parent.name for path in clone.payloads()} == {trained.parent.name}

    plan = clone.run("-n")
    assert plan.jobs["train_autoencoder"] == 1, "the other one alone"
    assert "Training autoencoders.main" not in plan.text
    downstream = {"prepare_dataset", "reconstruct", "dump_codes", "explore_codes", "train_diffusion", "generate"}
    assert downstream <= plan.jobs.keys()

    clone.dvc("pull", *map(str, clone.folder.glob("results/store/datasets/*.dvc")))
    assert clone.run("table2").jobs == TABLE2_ALONE
    table = "results/tiny/tables/table2.csv"
    assert (clone.folder / table).read_bytes() == (shared.folder / table).read_bytes()


def test_results_travel_through_an_ssh_server(places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        with ssh_server(tmp_path) as server:
            monkeypatch.setenv("HOME", str(server.home))
            url = f"ssh://{server.user}@127.0.0.1:{server.port}{tmp_path}/remote"
            travels(places, url, keyfile=str(server.key))
            assert any((tmp_path / "remote" / "files" / "md5").iterdir())
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_results_travel_through_an_s3_bucket(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with s3_server() as address:
        bucket = boto3.client("s3", endpoint_url=address)
        bucket.create_bucket(Bucket="results")
        travels(places, "s3://results/tiny", endpointurl=address)
        assert bucket.list_objects_v2(Bucket="results")["KeyCount"] > 0


def travels(places: Places, url: str, **options: str) -> None:
    """One repository pushes its tables to the remote; a clone pulls them from it and has no table to make."""
    repository = places.copy("shared")
    clone = repository.clone(places.new_folder())
    for place in (repository, clone):
        place.dvc("remote", "add", "--local", "--force", "far", url)
        for key, value in options.items():
            place.dvc("remote", "modify", "--local", "far", key, value)
    tables = sorted(str(path.relative_to(clone.folder)) for path in clone.folder.glob("results/store/tables/*.dvc"))
    repository.dvc("push", "--remote", "far", *tables)
    clone.dvc("pull", "--remote", "far", *tables)
    assert clone.payloads() == repository.files("results/store/tables/*/*") != {}
    assert clone.run("-n", "tables").nothing_to_do


def test_a_look_at_a_shared_run_writes_and_removes_nothing(clone: Place, tmp_path: Path) -> None:
    committed = clone.git("ls-files", "results/tiny").split()
    assert {"results/tiny/tables/table2.md", "results/tiny/metrics.json"} <= set(committed)
    for look in ("-n", "--list-rules", "--lint", "--summary", "--dag", "--rulegraph", "--unlock"):
        clone.run(look)
        assert clone.git("status", "--porcelain") == "", look
    clone.run("--report", str(tmp_path / "report.html"), expect=1)
    assert clone.git("status", "--porcelain") == ""


def test_a_run_of_one_table_leaves_other_copies_and_writes_its_own_again(clone: Place) -> None:
    """Copies whose originals are not here stay; a changed copy is replaced, also by a run without jobs."""
    clone.run("results/tiny/tables/table3.md")
    changed = {line.split()[-1] for line in clone.git("status", "--porcelain", "--", "results/tiny").splitlines()}
    measured_again = {f"results/tiny/tables/table3.{suffix}" for suffix in ("csv", "md", "tex")}
    assert changed <= measured_again | {"results/tiny/dvc.yaml"}
    clone.run("table3")
    table = clone.folder / "results/tiny/tables/table3.md"
    right = table.read_text()
    table.write_text("another table\n")
    assert clone.run("table3").nothing_to_do
    assert table.read_text() == right


def test_dvc_runs_snakemake_and_compares_experiments(places: Places, networks_folder: Path) -> None:
    place, clean = places.copy("tracked"), "Data and pipelines are up to date."
    (place.folder / "results/networks").symlink_to(networks_folder.resolve())
    assert "Nothing to be done" in place.dvc("repro").text
    assert clean in place.dvc("status").text
    place.commit("A run")

    place.dvc("exp", "run", "--set-param", "config/demo.yaml:samples.main.sampler.steps=3")
    assert clean in place.dvc("status").text
    assert "steps: 3" in place.text("config/demo.yaml")
    changed = json.loads(place.dvc("metrics", "diff", "--json").text)["results/tiny/headline.json"]
    assert changed.keys() == {name for name in changed if "EfficientNet" in name}, "the autoencoder is the same"
    (header, *rows) = csv.reader(place.dvc("exp", "show", "--csv").text.splitlines())
    assert 15 < len(header) <= 40
    assert {row[header.index("samples.main.sampler.steps")] for row in rows} == {"2", "3"}
    assert len(json.loads(place.text("results/tiny/headline.json"))) == 6

    assert "didn't change, skipping" in place.dvc("repro").text
    assert place.run("-n").nothing_to_do
    held = place.git("ls-files", "results/tiny").split()
    assert "results/tiny/headline.json" in held
    assert not [path for path in held if path.endswith((".html", ".png", ".pdf"))], "DVC has them in the store"
