"""The training's history, continued by a resumed run."""

import csv

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.training.history import History


def row(step, **numbers):
    return {"step": step, "images": 4 * step, "seconds": step / 2, **numbers}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 12), st.integers(0, 12))
def test_a_resumed_run_has_no_row_twice_and_none_is_missing(tmp_path, saved, resumed_from):
    path = tmp_path / "history.csv"
    history = History(path, 0)
    history.rows.clear()
    for step in range(1, saved + 1):
        history.add(row(step, l2=1 / step))
    history.save()
    start = min(saved, resumed_from)
    again = History(path, start)
    for step in range(start + 1, 15):
        again.add(row(step, l2=1 / step))
    again.save()
    assert [int(r["step"]) for r in History(path, 99).rows] == list(range(1, 15))


def test_a_loss_that_starts_late_has_a_column_that_is_empty_before(tmp_path):
    path = tmp_path / "history.csv"
    history = History(path, 0)
    history.add(row(1, l2=0.5))
    history.add(row(2, l2=0.25, critic_estimate=-1.5))
    history.save()
    frame = pd.read_csv(path)
    assert list(frame) == ["step", "images", "seconds", "l2", "critic_estimate"]
    assert frame["critic_estimate"].isna().tolist() == [True, False]
    again = History(path, 2)
    assert again.rows == history.rows
    assert again.seconds == 1.0


def test_a_training_that_was_too_short_for_a_row_has_the_first_columns(tmp_path):
    History(tmp_path / "history.csv", 0).save()
    assert (tmp_path / "history.csv").read_text() == "step,images,seconds\n"
    assert History(tmp_path / "history.csv", 5).seconds == 0.0


def test_numbers_keep_nine_digits(tmp_path):
    history = History(tmp_path / "history.csv", 0)
    history.add(row(1, l2=0.123456789123))
    history.save(tmp_path / "elsewhere" / "history.csv")
    with (tmp_path / "elsewhere" / "history.csv").open() as file:
        (read,) = csv.DictReader(file)
    assert float(read["l2"]) == pytest.approx(0.123456789123, rel=1e-9)
