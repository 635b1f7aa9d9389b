"""Every figure and table has a title and a caption in sentences."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.config.root import read_config
from pipeline.settings.tables import TABLES, Tables
from pipeline.stages.common import Jobs
from pipeline.stages.figures import CAPTIONS, DRAWING_FUNCTIONS, FIGURES
from pipeline.stages.page import page
from pipeline.stages.studies import STUDY_CAPTION
from pipeline.stages.tables import CLAIMS_CAPTION, caption, table

DEMO = Path(__file__).parents[2] / "config" / "demo.yaml"


def test_every_figure_has_its_words_and_no_other_has() -> None:
    assert CAPTIONS.keys() == DRAWING_FUNCTIONS.keys()


def test_every_key_with_rows_is_a_table() -> None:
    assert {*TABLES, "decoding", "claims"} == Tables.model_fields.keys()


def test_captions_are_sentences() -> None:
    assert all(one.title and one.caption.endswith(".") for one in (*FIGURES.values(), *TABLES.values()))
    assert CLAIMS_CAPTION.endswith(".") and STUDY_CAPTION.endswith(".")
    assert caption("table2").startswith("Reconstruction of validation images. Published rows carry")


def test_other_columns_make_a_table_again_and_another_caption_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    config, entry = read_config(DEMO), TABLES["table2"]
    before = Jobs(config)(table, "table2").digest
    first, *others = entry.quantities
    for other in (
        replace(entry, title="Other words"),
        replace(entry, quantities=(*others, first)),
        replace(entry, quantities=(replace(first, decimals=1), *others)),
    ):
        monkeypatch.setitem(TABLES, "table2", other)
        assert Jobs(config)(table, "table2").digest != before
    monkeypatch.setitem(TABLES, "table2", replace(entry, caption="Other words."))
    assert Jobs(config)(table, "table2").digest == before


def test_another_caption_makes_the_page_again(monkeypatch: pytest.MonkeyPatch) -> None:
    config = read_config(DEMO)
    before = Jobs(config)(page)
    monkeypatch.setitem(FIGURES, "fig01", replace(FIGURES["fig01"], caption="Other words."))
    assert Jobs(config)(page).digest != before.digest
