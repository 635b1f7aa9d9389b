"""The tiny run's page in a browser, from disk and without a network.

BRIGHT_PAGE=results/demo/report.html tests another run's page; -k "not samples and not scripts and not latex" deselects
the tests that need the tiny run.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import report_inputs as made
from axe_playwright_python.sync_playwright import Axe
from bright_pipeline.data.archive import ImageArchive
from bright_pipeline.make_report import make_report
from bright_pipeline.page.gallery import UNBROKEN, image_uri
from bright_pipeline.settings.figures import FIGURES
from bright_pipeline.settings.tables import HEADINGS, TABLES
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from tiny_workflow import Workflow

PHONE, DESK = 390, 1280
CUT = "element => Number(getComputedStyle(element).getPropertyValue('--cut').replace('%', ''))"


@pytest.fixture
def opened(visit: Callable[..., Page], address: str) -> Page:
    """The page on a wide, light screen."""
    return visit(address)


@pytest.mark.parametrize(("scheme", "width"), [("light", PHONE), ("dark", DESK)])
def test_it_opens_from_disk_without_scrolling_and_axe_finds_nothing_serious(visit, address, scheme, width, tmp_path):
    page = visit(address, scheme, width)
    sizes = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth)")
    assert len(sizes) > 50 and all(sizes), "every image is loaded"
    assert page.evaluate("document.documentElement.scrollWidth") == width, "no horizontal scroll"
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    with Image.open(tmp_path / "page.png") as shot:
        assert shot.width == width
        background = sum(shot.convert("RGB").getpixel((2, 2))) / 3
    assert background > 240 if scheme == "light" else background < 40
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    for state in ("page", "viewer"):
        if state == "viewer":
            page.locator("#sample-pages button").first.click()
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        serious = {one["id"]: one["nodes"][0]["html"] for one in found if one["impact"] in ("serious", "critical")}
        assert serious == {}, state


def test_the_first_screen_of_a_phone_has_pictures(visit, address) -> None:
    strip = visit(address, width=PHONE).locator(".strip").bounding_box()
    assert strip["y"] + strip["height"] < 844 / 2


def test_the_line_of_a_pair_follows_the_mouse_and_the_arrow_keys(opened: Page) -> None:
    pair = opened.locator(".pairs .compare").first
    pair.scroll_into_view_if_needed()
    box = pair.bounding_box()
    assert pair.evaluate(CUT) == 50
    middle = box["y"] + box["height"] / 2
    opened.mouse.move(box["x"] + box["width"] / 2, middle)
    opened.mouse.down()
    opened.mouse.move(box["x"] + 0.2 * box["width"], middle)
    opened.mouse.up()
    moved = pair.evaluate(CUT)
    assert moved == pytest.approx(20, abs=2)
    clipped = pair.locator(".over").evaluate("image => getComputedStyle(image).clipPath")
    assert clipped == f"inset(0px 0px 0px {moved:.0f}%)"
    opened.keyboard.press("ArrowRight")
    assert pair.evaluate(CUT) == moved + 1
    assert pair.locator("input").get_attribute("aria-valuetext") == f"{moved + 1:.0f} % original"
    opened.keyboard.press("End")
    assert pair.evaluate(CUT) == 100


def write_widest(folder: Path) -> list[str]:
    """Every table with all columns of its layout, in a row that the paper has and in one that it has not."""
    inputs = []
    for name, layout in TABLES.items():
        cells = {("Source", ""): ""}
        for key in layout.identity:
            cells[HEADINGS[key], ""] = "BRIGHT (codes of VQGAN)" if key == "method" else "64x64x4"
        for quantity in layout.quantities:
            number = f"{12.3456:.{quantity.decimals}f}"
            standard = f" ± {number}" if quantity.two_std else ""
            spread = f" [{number}, {number}]" if quantity.has_interval else standard
            if quantity.is_published:
                cells[quantity.label, "published"] = number
            for variant in quantity.measured:
                cells[quantity.label, f"measured ({variant})" if variant else "measured"] = number + spread
            if quantity.is_published:
                cells[quantity.label, "difference"] = f"−{number}"
        cells["Protocol", ""] = "as published; measured on 50000 samples"
        _, *beside = cells.values()
        rows = [["published and measured", *beside], ["measured", *beside]]
        inputs += made.write_table(folder, name, list(map(list, cells)), rows)
    return inputs


WIDE = 1300
OUTSIDE = """(table, width) => [...table.tBodies[0].rows].flatMap(row => [...row.cells]
    .filter((cell, place) => cell.matches(".subject") || (place >= table.dataset.from && place < table.dataset.to))
    .map(cell => cell.getBoundingClientRect()).filter(box => box.left < 0 || box.right > width || !box.width)).length"""
NARROWED = """table => {
    const first = [...table.tHead.rows[0].cells];
    const at = first.findIndex(cell => cell.scope === "colgroup");
    const measured = first.filter(cell => ["Measured here", "EfficientNet-Lite0"].includes(cell.textContent));
    const count = measured.reduce((sum, cell) => sum + cell.colSpan, 0);
    Object.assign(table.dataset, { from: at, to: at + count });
    return count;
}"""

BROKEN = """() => [...document.querySelectorAll(".narrow td.number, td.number small, .whole")]
    .filter(element => {
        const range = document.createRange();
        range.selectNodeContents(element);
        const boxes = [...range.getClientRects()].filter(box => box.width);
        return boxes.some(box => Math.abs(box.bottom - boxes[0].bottom) > 8);
    }).map(element => element.textContent)"""
FIRST_SCREEN = """() => {
    document.querySelector("#table2").scrollIntoView();
    const cells = [...document.querySelectorAll("#table2 tbody tr > *")].filter(cell => {
        const box = cell.getBoundingClientRect();
        return box.left >= 0 && box.left < innerWidth && box.bottom <= innerHeight;
    });
    const isNumber = cell => cell.matches(".measured .number") && /[0-9]/.test(cell.textContent);
    return [cells.filter(cell => !cell.textContent.trim()).length, cells.filter(isNumber).length];
}"""
NEVER_MEASURED = """() => [...document.querySelectorAll(".table table")].flatMap(table =>
    [...table.tBodies[0].rows[0].cells].filter((_, at) =>
        [...table.tBodies[0].rows].every(row => ["", "missing"].includes(row.cells[at].textContent.trim())))).length"""


@pytest.mark.parametrize("width", [PHONE, WIDE])
def test_the_first_screen_of_table_2_has_this_runs_numbers_and_no_empty_cell(visit, address, width) -> None:
    page = visit(address, width=width)
    empty, own = page.evaluate(FIRST_SCREEN)
    assert empty == 0 and own > 0
    assert page.evaluate(NEVER_MEASURED) == 0, "a column without a number is one line below the table"
    assert page.evaluate(BROKEN) == []
    left = page.evaluate("[...document.querySelectorAll('h2, h3, .scroll')].map(e => e.getBoundingClientRect().left)")
    assert len({round(edge) for edge in left if edge > 0}) <= 2, "one edge, and that of the second column of figures"


def test_claims_begin_with_a_verdict_and_fold_what_was_not_measured(opened: Page) -> None:
    first = opened.locator("#claims tbody tr").first.locator("> *").first
    assert first.inner_text() in ("holds", "does not hold", "not in the tables")
    assert opened.locator("#claims details").first.locator("tr").count() > 1
    assert not opened.locator("#claims details").first.locator("table").is_visible()


def test_at_1300_pixels_every_tables_names_and_measured_columns_are_in_view(visit, tmp_path) -> None:
    inputs = write_widest(tmp_path)
    settings = json.loads(made.settings()) | {"samples": None}
    make_report(json.dumps(settings), tmp_path / "report.html", inputs, tmp_path)
    page = visit((tmp_path / "report.html").as_uri(), width=WIDE)
    measured, outside = {}, {}
    for name in TABLES:
        tables = page.locator(f"#{name} table").all()
        measured[name] = sum(table.evaluate(NARROWED) for table in tables)
        outside[name] = sum(table.evaluate(OUTSIDE, WIDE) for table in tables)
    assert max(measured.values()) > 15, "the widest table is wide"
    assert outside == dict.fromkeys(TABLES, 0)
    assert page.evaluate(BROKEN) == [], "a number, its uncertainty and a dataset's name have no line break"
    region = page.locator("#table5 .scroll").first
    region.evaluate("region => { region.scrollLeft = region.scrollWidth; }")
    published = region.locator("tbody tr").first.locator("td.number").last.bounding_box()
    name = region.locator("tbody tr .subject").first.bounding_box()
    assert name["x"] >= 0, "the row's name stays"
    assert name["x"] + name["width"] <= published["x"] <= WIDE - published["width"]


def test_a_table_says_what_to_look_at_and_a_row_leads_to_its_entry_of_the_config(opened: Page) -> None:
    hints = opened.locator(".table .hint").all_inner_texts()
    assert len(hints) == opened.locator(".table").count() >= 8
    assert all(hint.endswith(".") for hint in hints)
    link = opened.locator("#table2 .entry").first
    entry = link.inner_text()
    link.click()
    row = opened.locator(f"[id='{entry}']")
    expect(row.locator("pre")).to_be_visible()
    section, _, name = entry.partition(".")
    assert row.locator("pre").inner_text().startswith(f"{section}:\n  {name}:\n")
    assert opened.evaluate("document.querySelector(':target').id") == entry


PLACE = """heading => {
    const table = heading.closest("table");
    const before = [...table.tHead.rows[0].cells].findIndex(cell => !cell.hasAttribute("aria-sort"));
    return before + heading.cellIndex;
}"""


def column(page: Page, place: int, part: int = 0) -> list[str]:
    """The cells of a column of a part of Table 5, without their intervals: this run's rows or the paper's."""
    cells = page.locator("#table5 table").nth(part).locator(f"tbody tr > :nth-child({place + 1})").all_inner_texts()
    return [cell.partition("[")[0].strip() for cell in cells]


def test_tables_sort_by_mouse_and_by_keyboard_with_empty_cells_last(opened: Page) -> None:
    headings, of_paper = (
        table.locator("thead tr").nth(1).locator("th") for table in opened.locator("#table5 table").all()
    )
    measured = headings.filter(has_text="EfficientNet-Lite0 FD")
    place = measured.evaluate(PLACE)
    before = [float(cell) for cell in column(opened, place) if cell]
    assert before != sorted(before)
    empty = [""] * (len(column(opened, place)) - len(before))
    measured.locator("button").click()
    assert column(opened, place) == [*map(str, sorted(before)), *empty]
    assert measured.get_attribute("aria-sort") == "ascending"
    measured.locator("button").focus()
    opened.keyboard.press("Enter")
    assert column(opened, place) == [*map(str, sorted(before, reverse=True)), *empty]
    assert measured.get_attribute("aria-sort") == "descending"
    assert opened.locator("#table5 th[aria-sort=ascending], #table5 th[aria-sort=descending]").count() == 1

    published = of_paper.filter(has_text="Published in the paper FID ↓")
    published.locator("button").focus()
    opened.keyboard.press("Space")
    cells = column(opened, published.evaluate(PLACE), part=1)
    numbers = [float(cell) for cell in cells if cell]
    assert numbers == sorted(numbers) and len(numbers) > 2
    assert not any(cells[len(numbers) :])


def test_a_table_copies_as_the_latex_of_its_file(opened: Page, tiny_run: Workflow) -> None:
    opened.locator("#table2 .copy").click()
    opened.locator("#status", has_text="Copied").wait_for(state="attached")
    copied = opened.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == tiny_run.text("results/tiny/tables/table2.tex").strip()


def test_samples_page_and_open_with_their_neighbours_by_keyboard(opened: Page) -> None:
    shown = opened.locator("#sample-pages > li:visible")
    assert shown.count() == 24
    opened.locator("#page-next").focus()
    opened.keyboard.press("Enter")
    assert shown.count() == 32 - 24
    assert opened.locator("#page-number").inner_text() == "24 to 31, page 2 of 2"
    opened.locator("#page-previous").click()

    shown.first.locator("button").focus()
    opened.keyboard.press("Enter")
    viewer = opened.locator("#viewer")
    title = opened.locator("#viewer-title")
    assert title.inner_text() == "Sample 0 (1 of 32)"
    assert viewer.locator(".near img").count() == 2
    assert viewer.evaluate("dialog => [...dialog.querySelectorAll('img')].every(image => image.naturalWidth > 0)")
    distances = viewer.locator(".near span:nth-of-type(1)").all_inner_texts()
    assert distances == sorted(distances, key=lambda text: float(text.removeprefix("LPIPS ")))
    opened.keyboard.press("ArrowRight")
    assert title.inner_text() == "Sample 1 (2 of 32)"
    for _ in range(2):
        opened.keyboard.press("ArrowLeft")
    assert title.inner_text() == "Sample 31 (32 of 32)"
    assert "No nearest training images were searched" in viewer.inner_text(), "the tiny run searches for four"
    opened.keyboard.press("Escape")
    assert not viewer.is_visible()
    focused = opened.evaluate("document.activeElement.dataset.title")
    assert focused == "Sample 31", "the last image has the focus, and its page is shown"
    assert opened.locator("#page-number").inner_text() == "24 to 31, page 2 of 2"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_follow_the_screen_also_in_the_viewer(visit, address, scheme: str) -> None:
    page = visit(address, scheme)
    figures = page.locator("#figures .picture img, #training .picture img").evaluate_all(
        "images => images.map(image => [image.src, image.currentSrc])"
    )
    assert len(figures) > 5 and all((shown == light) == (scheme == "light") for light, shown in figures)
    page.locator("#figures .picture").first.click()
    assert page.locator("#viewer .enlarged").evaluate("image => image.src") == figures[0][1]


def test_figures_and_pairs_open_in_the_viewer(opened: Page) -> None:
    opened.locator("#figures .picture").first.click()
    assert opened.locator("#viewer .enlarged").evaluate("image => image.naturalWidth") > 300
    assert opened.locator("#viewer p").inner_text() == FIGURES["fig01"].caption
    opened.locator("#viewer-close").click()
    opened.locator(".pairs .enlarge").nth(2).click()
    slider = opened.locator("#viewer input[type=range]")
    slider.focus()
    opened.keyboard.press("Home")
    assert opened.locator("#viewer .compare").evaluate(CUT) == 0
    assert opened.locator("#viewer-title").inner_text().startswith("Validation image 3")
    opened.keyboard.press("Escape")


def test_another_models_reconstructions_can_be_chosen(visit, tmp_path) -> None:
    inputs = made.write_inputs(tmp_path / "in")
    other = made.write_images(tmp_path / "other.zip", 40, 32, 1, seed=9)
    make_report(made.settings(), tmp_path / "report.html", [*inputs, f"reconstructions:other={other}"], tmp_path)
    page = visit((tmp_path / "report.html").as_uri())
    image, words = page.locator(".pairs .over").nth(1), page.locator(".pairs .words").nth(1)
    first = image.get_attribute("src")
    page.locator("#model").select_option("other")
    assert image.get_attribute("src") == image_uri(ImageArchive(other).read(1)) != first
    assert words.inner_text() == ""
    page.locator("#model").select_option("main")
    assert image.get_attribute("src") == first
    assert "PSNR 24.50 dB" in words.inner_text().replace(UNBROKEN, " ")


HOSTILE = """<img src=x onerror="window.ran=1"><script>window.ran=1</script>"'&{{7*7}}<link href=http://x.example/>"""


def marked(value: Any) -> Any:
    """A JSON value with markup behind all texts except identifiers."""
    if isinstance(value, dict):
        return {key: one if key in ("kind", "stage", "code") else marked(one) for key, one in value.items()}
    if isinstance(value, list):
        return [marked(one) for one in value]
    return f"{value} {HOSTILE}" if isinstance(value, str) else value


def test_markup_in_any_text_is_text(visit, tmp_path) -> None:
    folder = tmp_path / "in"
    inputs = made.write_inputs(folder)
    for name in ("table2", "table5", "manifest", "summary"):
        path = folder / f"{name}.json"
        path.write_text(json.dumps(marked(json.loads(path.read_text()))))
    settings = json.loads(made.settings())
    settings |= {key: marked(settings[key]) for key in ("run", "config", "figures", "jobs")}
    make_report(json.dumps(settings), tmp_path / "report.html", inputs, tmp_path)
    page = visit((tmp_path / "report.html").as_uri())
    assert page.evaluate("window.ran") is None
    assert page.locator("body").text_content().count(HOSTILE) > 30


def test_everything_but_the_explorer_is_there_without_scripts(browser: Browser, address: str) -> None:
    context = browser.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator("#sample-pages > li:visible").count() == 32
    assert page.locator("table:visible").count() >= 8
    assert page.locator("#explorer").is_hidden(), "it needs scripts"
    context.close()
