"""The page of a run shows the tables' numbers, bounds its images and loads nothing."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import report_inputs as made
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.archive import ImageArchive
from bright_pipeline.engine.atomic import update_sums, write_json, write_text
from bright_pipeline.engine.checksums import take_checksum
from bright_pipeline.engine.jobs import path_of
from bright_pipeline.evaluation.summary import Summary, Value, write_summary
from bright_pipeline.make_report import make_report
from bright_pipeline.page.arrangement import arranged, parts
from bright_pipeline.page.gallery import UNBROKEN, figure_picture, image_uri
from bright_pipeline.plan.publish import Published, ending
from bright_pipeline.settings.figures import FIGURES
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import dataset
from bright_pipeline.stages.measurements import reconstruction
from bright_pipeline.stages.page import SAMPLES
from bright_pipeline.stages.page import page as report_page
from bright_pipeline.stages.tables import tables
from bright_pipeline.tables.display_table import DisplayTable
from bs4 import BeautifulSoup
from finished_plan import finish, tiny_plan
from PIL import Image

MEGABYTE = 1_000_000


class Page:
    """A page's HTML, with its tables as rows of cells."""

    def __init__(self, path: Path):
        self.folder, self.source = path.parent, path.read_text(encoding="utf-8")
        self.soup = BeautifulSoup(self.source, "html.parser")
        self.tables = [
            [[cell.text for cell in row(["td", "th"])] for row in table("tr")] for table in self.soup("table")
        ]

    def text(self, tag: str) -> str:
        """The text of all elements of a kind."""
        return "".join(element.text for element in self.soup(tag))

    @property
    def viewer_data(self) -> dict[str, Any]:
        return json.loads(self.soup.find(id="viewer-data").string)


def made_page(folder: Path, inputs: list[str], settings: str | None = None, records: Path | None = None) -> Page:
    make_report(settings or made.settings(), folder / "report.html", inputs, records or folder)
    return Page(folder / "report.html")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of a made-up run."""
    folder = tmp_path_factory.mktemp("page")
    return made_page(folder, made.write_inputs(folder / "in"), records=made.write_records(folder / "records"))


def numbers(text: str) -> set[str]:
    return {number.rstrip(".") for number in re.findall(r"\d[\d.]*", text.replace(",", ""))}


def test_this_runs_rows_come_first_and_columns_without_a_number_are_left_out(page: Page) -> None:
    own, of_paper, samples, _ = ([[" ".join(cell.split()) for cell in row] for row in one] for one in page.tables[:4])
    assert own[1:3] == [
        ["Measured here LPIPS ↓", "Measured here PSNR (dB) ↑"],
        ["BRIGHT clothes, 8x8x4 autoencoders.main", "0.0172 ± 0.05", "24.07 ± 5.52"],
    ]
    assert of_paper[1:] == [["Published in the paper LPIPS ↓"], ["VQGAN ffhq256, 16x16", "0.1175"]]
    assert [row[-1] for row in samples[2:]] == ["66.5", "13.4"]
    for words in ("Source: measured.", "Source: published.", "± is two standard deviations over images."):
        assert words in page.text("p")


def test_eight_columns_on_other_features_share_a_heading_and_too_many_columns_are_two_tables() -> None:
    names = [*(f"{name} (EfficientNet-Lite0) ↓" for name in "ABCDEFGH"), *(f"M{number} ↑" for number in range(6))]
    columns = [("Source", ""), ("Method", ""), *((name, "measured") for name in names)]
    table = DisplayTable("T", columns, made.display_rows(columns, [["measured", "KL", *["1.0"] * 14]]), [], ["a.b"])
    few = replace(table, columns=columns[:12], rows=[table.rows[0][:12]])
    ((_, *blocks),) = (part.blocks for part in parts(few))
    found = {block.heading: list(block.columns.values())[:2] for block in blocks}
    assert found == {"Measured here": ["M0 ↑", "M1 ↑"], "EfficientNet-Lite0": ["A ↓", "B ↓"]}
    assert [len(part.table.columns) for part in parts(table)] == [2 + 6, 2 + 8]


def test_generation_on_one_dataset_is_one_table() -> None:
    columns = [("Source", ""), ("Dataset", ""), ("Method", ""), ("FD ↓", "measured")]

    def table(name: str, dataset: str, published: str) -> DisplayTable:
        rows = [["measured", dataset, "KL", "1.0"], ["published", published, "LDM", ""]]
        cells = made.display_rows(columns, rows)
        return DisplayTable(name, columns, cells, [], ["samples.kl", None], name=name, latex=name)

    tables = {"table5": table("table5", "mine", "ffhq256"), "table6": table("table6", "mine", "lsun")}
    (merged,) = arranged(tables)
    assert merged.title == "Generation (Tables 5 and 6; measured on mine)" and merged.latex == "table5\ntable6"
    assert [merged.cell(row, "Dataset").text for row in merged.rows] == ["mine", "ffhq256", "lsun"]
    assert len(arranged(tables | {"table6": table("table6", "other", "lsun")})) == 2


def test_it_says_what_happened_to_the_files_of_a_collection(page: Page) -> None:
    counts = "1 skipped, 5 duplicates removed, 3 other files ignored (2 .txt, 1 .heic; to read HEIC: pip install"
    assert f"clothes-0a: prepared 9,000 images for training and 9,000 for validation; {counts}" in page.source
    assert "<code>a.png</code>: empty" in page.source


def test_tables_say_what_to_look_at_and_what_is_missing(page: Page) -> None:
    hints = re.findall(r'<p class="hint">(.*?)</p>', page.source)
    assert hints == [f"what to look at in {name}" for name in ("table2", "table5")]
    links = page.soup("a")
    entries = [link["href"] for link in page.soup("a", class_="entry")]
    assert entries == ["#autoencoders.main"] * 4, "of measured rows only"
    assert [link["href"] for link in links].count("#missing") == 2
    (reason,) = re.findall(r'<ul class="why-missing">\s*<li>(.*?)</li>', page.source, re.DOTALL)  # for all tables
    assert reason == "network x is missing (LPIPS): put x.pth into results/networks"
    assert "autoencoders:\n  main:\n    code_size: 8x8x4\n" in page.text("pre")
    assert "BRIGHT <short>" in page.text("th") and "<short>" not in page.source
    assert "table2 & <more>" in page.text("pre")
    assert all(FIGURES[name].caption in page.source for name in ("fig01", "curves_autoencoders"))


def test_every_number_of_the_main_result_is_in_a_table_or_a_summary(page: Page) -> None:
    cells = " ".join(cell for row in made.ROWS + made.GENERATION_ROWS for cell in row)
    sources = numbers(cells) | {"1.10", "1.11", "0"}  # the neighbours' ratio, rounded; copies have 0
    header = page.text("header")
    assert numbers(header) <= sources
    assert {"0.0172", "24.07", "66.5", "13.4"} <= numbers(header) and numbers(header) & {"1.10", "1.11"}


def test_the_page_begins_with_what_it_is_pictures_a_sentence_and_the_command(page: Page) -> None:
    header = page.soup.find("header")
    assert "BRIGHT stores each image" in header.find(class_="lead").text and "paper" in header.find("a").text
    strip = [image["src"] for image in header.find(class_="strip")("img")]
    names = ("validation", "reconstructions", "samples")
    archives = [ImageArchive(page.folder / "in" / f"{name}.zip") for name in names]
    shown = [[0, 1, 3, 5, 6, 8], [0, 1, 3, 5, 6, 8], range(6)]  # pairs are evenly spaced, samples the first
    assert strip == [image_uri(archive.read(at)) for archive, few in zip(archives, shown, strict=True) for at in few]
    sentence = "BRIGHT reconstructs images of clothes from codes of 8x8x4 with LPIPS 0.0172 (0: identical), and"
    assert header.find(class_="result").text == f"{sentence} generates images with FID 66.5 (real images: 13.4)."
    assert header.find("code").text == "snakemake --cores all --configfile results/made-up/config.yaml"


def test_figures_have_a_picture_for_dark_screens(page: Page) -> None:
    sources = {figure["id"]: [dark["srcset"] for dark in figure("source")] for figure in page.soup("figure", id=True)}
    dark = figure_picture(page.folder / "in" / "dark.png", MEGABYTE).uri
    assert sources == {"fig01": [dark], "curves_autoencoders": []}


def test_costs_are_sums_and_provenance_names_digests_seeds_and_versions(page: Page) -> None:
    (costs,) = (table for table in page.tables if table[0][0] == "Stage" and "Jobs" in table[0])
    assert [row[:4:3] for row in costs[1:]] == [["train autoencoder", "0:01:24"], ["generate", "0:01:10"]]
    assert costs[2][5:] == ["0:00:40", "671 MB"]
    for told in ("main-000000000001", "c" * 12, "123", "t" * 64, "ab" * 32, "2.13.0", "MIT", "seed: 7",
        "<code>train_autoencoder 000000000001</code> (code, autoencoder.training.batch)"):  # fmt: skip
        assert told in page.source
    assert re.findall(r"<dt>Network (.*?)</dt>", page.source) == ["lpips_alex"], "other hashes are no networks"


def test_provenance_names_the_results_that_other_versions_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = made.write_table(tmp_path, "table2", made.COLUMNS, made.ROWS)
    for name, torch in (("main-00000000000a", "2.13.0"), ("old-00000000000b", "2.12.0")):
        history = Path(f"results/store/autoencoders/{name}/history.csv")
        write_text(history, "step,images,seconds,l2\n20,320,4.5,0.25\n")
        libraries = {"torch": torch, "accelerate": "1.15.0"}
        update_sums(history.parent, {history.name: replace(take_checksum(history), libraries=libraries)})
        inputs.append(f"history:autoencoder {name}={history}")
    source = " ".join(made_page(tmp_path, inputs, json.dumps({"run": "two"})).source.split())
    assert "<dt>accelerate</dt><dd> 1.15.0 </dd>" in source
    assert "<summary>2.12.0 in 1 result</summary><code>old-00000000000b</code>" in source
    assert "<summary>2.13.0 in 1 result</summary><code>main-00000000000a</code>" in source


def test_samples_have_their_neighbours_and_pairs_their_metrics(page: Page) -> None:
    data = page.viewer_data
    train = ImageArchive(page.folder / "in" / "train.zip")
    assert len(data["neighbours"]) == 40
    for sample in range(10):
        expected = [[train.names[(sample * 5 + r) % 40], f"{0.01 * (r + 1) + 0.001 * sample:.4f}"] for r in range(5)]
        assert data["neighbours"][sample] == expected
    assert data["neighbours"][10:] == [[]] * 30
    assert data["train"] == {name: image_uri(train.read(index)) for index, name in enumerate(train.names)}
    assert "The first 10 open with their nearest training images" in page.text("p").replace("\n  ", " ")
    captions = re.findall(r'<span class="words">(.*?)</span>', page.source)
    assert captions == ["PSNR~24.50~dB, SSIM~0.875, LPIPS~0.0125".replace("~", UNBROKEN)] * 24


def test_equal_inputs_give_equal_bytes(page: Page, tmp_path: Path) -> None:
    again = made_page(tmp_path, made.write_inputs(tmp_path / "in"), records=page.folder / "records")
    assert again.source == page.source


def test_the_header_has_the_differences_at_equal_budget_or_says_why_not(tmp_path: Path) -> None:
    def header(name: str, rows: list[list[str]], seeded: bool = False) -> str:
        inputs = made.write_table(tmp_path, name, made.COLUMNS, rows, seeded=seeded)
        return " ".join(made_page(tmp_path, inputs, json.dumps({"run": "seeds"})).text("header").split())

    rows = [["measured", "", name, *[""] * 4, psnr] for name, psnr in (("A", "25.0 ± 0.1"), ("B", "24.0 ± 0.1"))]
    assert "B: PSNR (dB) ↑ −1.0 [−1.2, −0.8]" in header("equal_budget", rows, seeded=True)
    assert "No verdict on differences" in header("equal_budget", rows)
    published = [row for row in made.ROWS if row[0] == "published"]
    assert "no measured row" in header("table2", published)


@pytest.mark.slow
def test_the_page_of_50_000_samples_shows_a_stated_part_and_stays_below_25_mb(tmp_path: Path) -> None:
    """Noise compresses worst; figures, pairs and samples each exceed their budget."""
    inputs = made.write_inputs(tmp_path / "in", side=256, channels=3, images=SAMPLES // 4, near=SAMPLES // 4)
    random = np.random.default_rng(0)
    large = tmp_path / "large.png"
    Image.fromarray(random.integers(0, 256, (1600, 1600, 3), np.uint8)).save(large, compress_level=1)
    names = [f"fig{number:02d}" for number in range(2, 6)]
    told = json.loads(made.settings(samples=50_000))
    told["figures"] |= dict.fromkeys(names, told["figures"]["fig01"])
    page = made_page(tmp_path, inputs + [f"figure:{name}={large}" for name in names], json.dumps(told))
    shown = len(page.viewer_data["neighbours"])
    assert 0 < shown < SAMPLES // 4, "the budget ends before the images do"
    assert f"The first {shown} of the 50,000 images" in page.text("p")
    assert (tmp_path / "report.html").stat().st_size < 25 * MEGABYTE


def test_at_most_so_many_samples_are_shown_however_small_they_are(tmp_path: Path) -> None:
    inputs = made.write_inputs(tmp_path / "in", side=8, images=SAMPLES + 20)
    assert f"The first {SAMPLES} of the 50,000 images" in made_page(tmp_path, inputs, made.settings(50_000)).text("p")


@pytest.mark.parametrize("limit", [2 * MEGABYTE, 300_000, 20_000])
def test_figures_and_images_that_are_too_large_become_smaller_copies(tmp_path: Path, limit: int) -> None:
    """Figures below the limit are exact; small images too, larger ones WebP."""
    noise = np.random.default_rng(0).integers(0, 256, (500, 1000, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "figure.png")
    figure = figure_picture(tmp_path / "figure.png", limit)
    assert len(figure.uri) * 3 / 4 <= limit + 100
    assert figure.width == pytest.approx(2 * figure.height, rel=0.02)
    assert (figure.width == 1000) == (limit == 2 * MEGABYTE)
    for side, kind in ((64, "png"), (65, "webp")):
        assert image_uri(np.zeros((side, side, 1), np.uint8)).startswith(f"data:image/{kind};base64,")


FORMS = ["", "[]", '{"title": "x", "columns": [["a"]], "rows": [], "notes": []}']


@pytest.mark.parametrize(
    ("file", "write", "told"),
    [
        ("neighbours.csv", lambda path: made.write_neighbours(path, 10, 1000, neighbours=90),
         r"img00000040\.png is not in the training split"),
        ("reconstructions.zip", lambda path: made.write_images(path, 39, 32, 1),
         r"reconstructions main: 39 images, .* has 40"),
        *(("table2.json", lambda path, text=text: path.write_text(text),
           r"table .*table2\.json: not a table as make_table writes it") for text in FORMS),
    ],
)  # fmt: skip
def test_an_input_that_does_not_fit_is_one_line(tmp_path: Path, file: str, write: Any, told: str) -> None:
    """A neighbour outside the training split, reconstructions of another split, a table of another form."""
    inputs = made.write_inputs(tmp_path / "in")
    write(tmp_path / "in" / file)
    with pytest.raises(InputError, match=told):
        made_page(tmp_path, inputs)
    assert not (tmp_path / "report.html").exists()


# The end of a run says what the page says: counts of results made and reused, the main result, places that exist.


@pytest.fixture
def plan(own_folder: Path) -> Jobs:
    """A finished plan whose tables are those of a made-up run."""
    plan = tiny_plan()
    assert "no measured row" in ending(plan, [], 1.0, Published())
    finish(plan)
    for name, job in plan(tables).items():
        made.write_table(job.folder, "table", made.COLUMNS, made.ROWS if name == "table2" else [])
    neighbours = dict(zip(plan(report_page).names, plan(report_page).inputs["data"], strict=True))["neighbours_summary"]
    write_summary(path_of(neighbours), Summary(kind="neighbours", values={"ratio": Value(number=1.25)}))
    return plan


def test_results_are_counted_once_by_stage_and_the_main_result_is_the_tables(plan: Jobs) -> None:
    made_tables = list(plan(tables).values())
    text = ending(plan, [*made_tables, *made_tables, plan(report_page)], 3723.4, Published())
    assert text.startswith("Run tiny, 1:02:03.\n")
    assert f"Made: {len(made_tables) + 1} results: make_table {len(made_tables)}, make_report\n" in text
    (reused,) = [line for line in text.splitlines() if line.startswith("Reused: ")]
    assert "prepare_dataset, train_autoencoder 2, reconstruct 3" in reused and "make_table" not in reused
    assert {"0.0172", "24.07", "1.25"} <= numbers(text)
    assert max(map(len, text.splitlines())) <= 100


def test_the_end_says_what_the_numbers_mean_and_what_to_change_first(plan: Jobs) -> None:
    values = {name: Value(number=number) for name, number in (("lpips_alex", 0.3), ("psnr", 15.0))}
    summary = Path(plan(reconstruction, "main").path("summary.json"))
    write_summary(summary, Summary(kind="reconstruction", values=values))
    manifest = {"train": {"count": 128}, "validation": {"count": 32}}
    write_json(plan(dataset, "tiny").path("manifest.json"), manifest)
    text = " ".join(ending(plan, [], 1.0, Published()).split())
    assert "It is blurry, worse than each." in text
    assert "first raise autoencoders.main.training.images" in text


def test_only_places_that_exist_are_named(plan: Jobs) -> None:
    (Path("results") / "tiny" / "report.html").unlink()
    text = ending(plan, [], 1.0, Published(earlier=["results/tiny/tables/table2.md"]))
    assert "Made: nothing\n" in text
    last = text.splitlines()[-1]
    assert last == "Of an earlier run, since their results are not here: results/tiny/tables/table2.md"
    places = [line.split()[0] for line in text.splitlines() if line.startswith("results/")]
    assert places == ["results/tiny/tables", "results/tiny/figures"]
