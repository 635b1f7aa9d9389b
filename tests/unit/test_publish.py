"""results/RUN: copies of what the config has, of nothing else, and never a lost one."""

import os
import shutil
from pathlib import Path

import pytest
from finished_plan import finish, make, tiny_plan, tiny_values

from pipeline.base.atomic import write_text
from pipeline.plan.ending import not_current
from pipeline.plan.publish import RECORD, Published, publish
from pipeline.plan.shards import planned
from pipeline.plan.view import view
from pipeline.stages.common import Jobs
from pipeline.stages.tables import tables

pytestmark = pytest.mark.usefixtures("own_folder")

RUN = Path("results/tiny")
MADE_OF_ALL = {str(RUN / "report.html"), *(str(RUN / "tables" / f"claims.{suffix}") for suffix in ("csv", "md", "tex"))}
"""What is another result where one table is missing."""


def files(folder: Path = RUN) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def with_seed(seed: int) -> Jobs:
    return tiny_plan(tiny_values() | {"seed": seed})


def test_a_finished_plan_publishes_each_file_of_its_view_once() -> None:
    jobs = tiny_plan()
    finish(jobs)
    places = {str(path) for path in files()}
    of_the_run = {str(RUN / name) for name in (RECORD, "metrics.json", "config.yaml", "dvc.yaml")}
    assert places - of_the_run == jobs(view).keys()
    finish(tiny_plan())
    jobs = tiny_plan()
    shown = publish(jobs, "tiny.yaml")
    assert jobs(view).keys() <= set(shown.present)
    assert not shown.earlier


def test_copies_of_another_configs_results_go_and_come_back() -> None:
    finish(tiny_plan())
    before = files()
    other = with_seed(1)
    shown = publish(other, "tiny.yaml")
    # The other config's results are not there, so that copies under its names stay: of an earlier run.
    assert [path for path in before if path.suffix in (".md", ".png") and not path.exists()] == []
    assert set(shown.earlier) == {str(path) for path in before if str(path) in other(view)} - set(shown.present)
    assert {Path(path).name for path in shown.present if path.endswith(".md")} == {"table3.md"}, "counts know no seed"
    make([job for job in other(planned).values() if not job.complete], "{ }")
    publish(other, "tiny.yaml")
    assert {path.read_text() for path in files(RUN / "tables")} == {"{}", "{ }"}
    assert (RUN / "tables" / "table2.md").read_text() == "{ }"
    publish(tiny_plan(), "tiny.yaml")
    assert files() == before
    assert {path.read_text() for path in files(RUN / "tables")} == {"{}"}


def test_a_copy_that_the_config_no_longer_has_goes_where_the_store_has_it() -> None:
    finish(tiny_plan())
    values = tiny_values()
    del values["tables"]["section34"]
    smaller = tiny_plan(values)
    gone = tiny_plan()(view).keys() - smaller(view).keys()
    assert {Path(path).name for path in gone} >= {"section34.md", "noise_robustness.png"}
    assert set(publish(smaller, "tiny.yaml").earlier) == MADE_OF_ALL
    assert not [path for path in gone if Path(path).exists()]
    publish(tiny_plan(), "tiny.yaml")
    assert all(Path(path).exists() for path in gone)


def test_a_copy_that_the_config_no_longer_has_stays_where_it_is_the_last_one() -> None:
    finish(tiny_plan())
    shutil.rmtree(tiny_plan()(tables)["section34"].folder)
    values = tiny_values()
    del values["tables"]["section34"]
    shown = publish(tiny_plan(values), "tiny.yaml")
    last = {str(RUN / "tables" / f"section34.{suffix}") for suffix in ("csv", "md", "tex")}
    assert set(shown.earlier) == last | MADE_OF_ALL
    assert all(Path(path).exists() for path in shown.earlier)
    assert set(publish(tiny_plan(values), "tiny.yaml").earlier) == set(shown.earlier), "also the next time"


def test_in_a_clone_without_the_store_copies_stay_and_are_this_configs() -> None:
    finish(tiny_plan())
    before = {path: path.read_bytes() for path in files()}
    shutil.rmtree("results/store")
    shown = publish(tiny_plan(), "tiny.yaml")
    assert {path: path.read_bytes() for path in files()} == before
    assert not shown.earlier, "the record says that they are of this config's results"


def test_in_a_clone_with_another_config_copies_stay_and_are_said_to_be_earlier() -> None:
    finish(tiny_plan())
    before = {path: path.read_bytes() for path in files()}
    shutil.rmtree("results/store")
    shown = publish(with_seed(1), "tiny.yaml")
    assert {path: path.read_bytes() for path in files()} == before
    assert str(RUN / "tables" / "table2.md") in shown.earlier
    assert str(RUN / "tables" / "table3.md") not in shown.earlier, "counts know no seed"
    assert not shown.present


def test_earlier_copies_are_told_in_one_line() -> None:
    assert not_current(Published(present=["a"])) == []
    assert not_current(Published(earlier=["b", "a"])) == ["Of an earlier run, since their results are not here: a, b"]
    assert not_current(Published(earlier=list("edcba"))) == [
        "Of an earlier run, since their results are not here: a, b, c and 2 more"
    ]


def test_content_decides_and_not_clocks() -> None:
    jobs = tiny_plan()
    finish(jobs)
    stored, shown = Path(jobs(tables)["table2"].path("table.md")), RUN / "tables" / "table2.md"
    write_text(stored, "another")
    os.utime(stored, (1, 1))
    publish(jobs, "tiny.yaml")
    assert shown.read_text() == "another"


def test_what_is_as_it_should_be_is_not_written_again() -> None:
    finish(tiny_plan())
    for path in files():
        os.utime(path, (1, 1))
    finish(tiny_plan())
    assert {path.stat().st_mtime for path in files()} == {1}


def test_looking_at_a_plan_writes_and_removes_nothing() -> None:
    jobs = tiny_plan()
    assert jobs(planned) and jobs(view)
    assert not list(Path().iterdir())
    assert publish(jobs, "tiny.yaml") == Published()
    assert not list(Path().iterdir())
    finish(tiny_plan())
    values = tiny_values()
    del values["tables"]["section34"]
    before = {path: path.stat().st_mtime_ns for path in files(Path())}
    for jobs in (tiny_plan(), tiny_plan(values), with_seed(1)):
        assert jobs(planned) and jobs(view)
        assert [job.complete for job in jobs(planned).values()]
    assert {path: path.stat().st_mtime_ns for path in files(Path())} == before
