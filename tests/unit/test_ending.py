"""What the end of a run says: counts of results made and reused, the main result, places that exist."""

from pathlib import Path

import pytest
import report_inputs as made
from finished_plan import finish, tiny_plan

from pipeline.base.summary import Summary, Value, write_summary
from pipeline.plan.publish import Published, ending
from pipeline.stages.common import Jobs, path_of
from pipeline.stages.page import page
from pipeline.stages.tables import tables


@pytest.fixture
def plan(own_folder: Path) -> Jobs:
    """A finished plan whose tables are those of a made-up run."""
    plan = tiny_plan()
    assert "Nothing has been measured in this run" in ending(plan, [], 1.0, Published())
    finish(plan)
    for name, job in plan(tables).items():
        made.write_table(job.folder, "table", made.COLUMNS, made.ROWS if name == "table2" else [])
    neighbours = dict(zip(plan(page).names, plan(page).inputs["data"], strict=True))["neighbours_summary"]
    write_summary(path_of(neighbours), Summary(kind="neighbours", values={"ratio": Value(number=1.25)}))
    return plan


def test_results_are_counted_once_by_stage_and_the_main_result_is_the_tables(plan: Jobs) -> None:
    made_tables = list(plan(tables).values())
    text = ending(plan, [*made_tables, *made_tables, plan(page)], 3723.4, Published())
    assert text.startswith("Run tiny, 1:02:03.\n")
    made_of_them = f"Made: {len(made_tables) + 1} results: make_table {len(made_tables)}, make_report\n"
    assert made_of_them in text
    (reused,) = [line for line in text.splitlines() if line.startswith("Reused: ")]
    assert "prepare_dataset, train_autoencoder 2, reconstruct 3" in reused
    assert "make_table" not in reused
    told = " ".join(text.split())
    assert "BRIGHT 8x8x4 reconstructs clothes with LPIPS 0.0172 and PSNR 24.07 dB" in told
    assert "1.25 times as far from their nearest training images" in told
    assert max(map(len, text.splitlines())) <= 100


def test_only_places_that_exist_are_named(plan: Jobs) -> None:
    (Path("results") / "tiny" / "report.html").unlink()
    text = ending(plan, [], 1.0, Published(earlier=["results/tiny/tables/table2.md"]))
    assert "Made: nothing\n" in text
    last = text.splitlines()[-1]
    assert last == "Of an earlier run, since their results are not here: results/tiny/tables/table2.md"
    places = [line.split()[0] for line in text.splitlines() if line.startswith("results/")]
    assert places == ["results/tiny/tables", "results/tiny/figures"]
