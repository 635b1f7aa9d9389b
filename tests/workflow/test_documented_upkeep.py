"""What the pages say of commands that keep configs and results in order: which files they write, keep and remove."""

import json
from pathlib import Path

import pytest
from documented import ROOT
from typed import IMAGES, Place, Places, documented

pytestmark = pytest.mark.slow

UNUSED = "results/store/tables/table2-000000000000"


@documented("cp config/small.yaml mine.yaml", says="then put your folder in the place of /path/to/images")
def test_the_small_config_has_one_place_for_ones_folder(places: Places, line: str) -> None:
    place = places.fresh_copy()
    place.type(line)
    assert place.text("mine.yaml").count("/path/to/images") == 1


@documented(
    "bright config --write",
    says=("Made from the typed config by `bright config --write`", "puts its keys into the reference and the schema"),
)
def test_the_reference_and_the_schema_are_written(places: Places, line: str) -> None:
    place = places.fresh_copy()
    for file in ("config/README.md", "config/schema.json"):
        place.path(file).write_text("old")
    place.type(line)
    for file in ("config/README.md", "config/schema.json"):
        assert place.text(file) == (ROOT / file).read_text(encoding="utf-8")


@documented("bright accept CONFIG", says="to keep results after a change of code that you know to be harmless")
def test_results_count_after_a_change_of_code(places: Places, line: str) -> None:
    place = places.copy()
    tables = place.path("pipeline/tables/footnotes.py")
    tables.write_text(f"{tables.read_text()}\n\nANOTHER_NUMBER = 1\n")
    told = place.type(line.replace("CONFIG", "config/demo.yaml")).text
    assert "make_table: 13 of 13 results accepted" in told
    assert len(json.loads(place.text("results/accepted.json"))) == 13
    assert place.type("snakemake -n").nothing_to_do


@documented(
    "bright accept CONFIG --key training.batch",
    says="the same after a change of a config key, such as `training.batch`",
)
def test_results_count_after_a_change_of_a_key(places: Places, line: str) -> None:
    place = places.copy()
    config = place.path("config/demo.yaml")
    text = config.read_text()
    assert text.count("training: {images: 48, batch: 8") == 1
    config.write_text(text.replace("training: {images: 48, batch: 8", "training: {images: 48, batch: 4"))
    assert "train_autoencoder: 2 of 2 results accepted" in place.type(line.replace("CONFIG", "config/demo.yaml")).text
    assert not place.type("snakemake -n").jobs.keys() & {"train_autoencoder", "train_diffusion", "generate"}


def with_unused(place: Place) -> Place:
    """A place with a result that no config has, tracked by DVC."""
    folder = place.folder / UNUSED
    folder.mkdir()
    (folder / "table.md").write_text("a table\n")
    folder.with_name(f"{folder.name}.dvc").write_text("outs: []\n")
    return place


@documented("bright prune CONFIG", says="to see results that no config needs any more")
def test_results_that_no_config_needs_are_listed(places: Places, line: str) -> None:
    place = with_unused(places.copy())
    told = place.type(line.replace("CONFIG", "config/demo.yaml")).text
    store = [entry.split()[-1] for entry in told.splitlines() if "results/store" in entry]
    assert store == [UNUSED]
    assert "--yes removes them" in told
    assert (place.folder / UNUSED / "table.md").exists()


@documented("bright prune CONFIG... --yes", says="removes results that no config uses, with their `.dvc` files")
def test_results_that_no_config_needs_are_removed(places: Places, line: str) -> None:
    kept = places.finished.files("results/store")
    place = with_unused(places.copy())
    place.type(line.replace("CONFIG...", "config/demo.yaml"))
    assert place.files("results/store").keys() == kept.keys()


def with_damage(place: Place) -> Path:
    """The file of a finished result whose last byte is another one now."""
    path = min(place.folder.glob("results/store/codes/*/codes.safetensors"))
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return path.relative_to(place.folder)


@documented("bright verify CONFIG", says="to know whether every file is what was put in place")
def test_a_damaged_file_is_named(places: Places, line: str) -> None:
    place = places.copy()
    line = line.replace("CONFIG", "config/demo.yaml")
    assert "nothing damaged, missing, unknown or left over" in place.type(line).text
    damaged = with_damage(place)
    assert f"damaged: {damaged}: sha256 is" in place.type(line, expect=1).text


@documented("bright verify CONFIG --repair", says="to have what is damaged made again by the next run")
def test_a_damaged_file_is_made_again(places: Places, line: str) -> None:
    place = places.copy()
    path = min(place.folder.glob("results/store/codes/*/codes.safetensors"))
    before = path.read_bytes()
    damaged = with_damage(place)
    place.type(line.replace("CONFIG", "config/demo.yaml"))
    assert (place.folder / "results/damaged" / damaged.relative_to("results")).exists()
    assert place.type("snakemake --cores 2").jobs == {"dump_codes": 1}
    assert path.read_bytes() == before


@documented("bright fingerprint CONFIG", says="on a large collection, `bright fingerprint CONFIG` reads it once")
def test_a_fingerprint_is_taken_and_kept(places: Places, line: str) -> None:
    place = places.copy()
    before = place.files("results/fingerprints")
    told = json.loads(place.type(line.replace("CONFIG", "mine.yaml")).text or "{}")
    new = {name: content for name, content in place.files("results/fingerprints").items() if name not in before}
    (kept,) = (json.loads(content) for content in new.values())
    assert told["datasets.mine.source"]["images"] == {"all": IMAGES}
    assert told["datasets.mine.source"]["sha256"] in json.dumps(kept)
