"""Figures and tables have their words in config/captions.yaml."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.config.root import read_config
from pipeline.stages.captions import CAPTIONS
from pipeline.stages.common import Jobs
from pipeline.stages.figures import DRAWN_BY, FIGURES
from pipeline.stages.page import page
from pipeline.stages.tables import CLAIMS, TABLES, caption

DEMO = Path(__file__).parents[2] / "config" / "demo.yaml"


def test_every_figure_and_table_has_its_words_and_no_other_has() -> None:
    assert CAPTIONS["figures"].keys() == DRAWN_BY.keys()
    assert CAPTIONS["tables"].keys() == {*TABLES, CLAIMS, "study"}


def test_captions_are_sentences() -> None:
    assert all(figure.title and figure.caption.endswith(".") for figure in FIGURES.values())
    assert all(CAPTIONS["tables"][name].endswith(".") for name in CAPTIONS["tables"])
    assert caption("table2").startswith("Reconstruction of validation images. Published rows carry")


def test_another_caption_makes_the_page_again(monkeypatch: pytest.MonkeyPatch) -> None:
    config = read_config(DEMO)
    before = Jobs(config)(page)
    monkeypatch.setitem(FIGURES, "fig01", replace(FIGURES["fig01"], caption="Other words."))
    assert Jobs(config)(page).digest != before.digest
