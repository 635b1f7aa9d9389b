"""The check of a card: what it finds, what it writes, and what the page says of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import typer

from pipeline.base.errors import InputError
from pipeline.commands import gpu_check as command
from pipeline.gpu_check.checks import check_strategies, strategies
from pipeline.gpu_check.findings import Finding, State, guarded, markdown, passed, write_report
from pipeline.gpu_check.sizes import Sizes, families, sizes
from pipeline.models.retrieval_separable import SeparableRetrieval

DOCS = Path(__file__).parents[2] / "docs"
CPU = torch.device("cpu")
NOBODY = "Nobody has run it on a card yet."


def test_every_strategy_of_the_config_is_compared_or_said_not_to_run() -> None:
    found = list(check_strategies(CPU, sizes(on_gpu=False)))
    assert {one.what.partition(",")[0] for one in found} == set(strategies()) - {"gather"}
    states = {one.what: one.state for one in found}
    assert states["separable, C_key 1"] is State.RIGHT
    assert states["tinycudann, C_key 1"] is State.NOT_CHECKED
    assert all(one.note for one in found)


def test_a_strategy_with_other_numbers_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    right = SeparableRetrieval.__call__
    monkeypatch.setattr(SeparableRetrieval, "__call__", lambda self, *args: 1.001 * right(self, *args))
    (found,) = [one for one in check_strategies(CPU, sizes(on_gpu=False)) if one.what == "separable, C_key 1"]
    assert found.state is State.WRONG
    assert found.numbers["values"] == pytest.approx(1e-3, rel=0.01)


@pytest.mark.parametrize("on_gpu", [True, False])
def test_all_families_are_checked_at_the_papers_sizes_and_the_demos(on_gpu: bool) -> None:
    found = families(sizes(on_gpu).config)
    assert set(found) == {
        *("bright", "vqgan", "rqvae", "kl", "latent diffusion", "ddpm", "imagebart", "stylegan2"),
    }


def test_an_error_is_a_finding_and_a_full_memory_is_another() -> None:
    def fail() -> Finding:
        raise RuntimeError("no kernel image\nis available")

    def full() -> Finding:
        raise torch.OutOfMemoryError("tried to allocate")

    assert guarded("a", "b", fail) == Finding("a", "b", State.WRONG, "no kernel image is available")
    assert guarded("a", "b", full).state is State.DOES_NOT_FIT
    assert passed([guarded("a", "b", full)])
    assert not passed([guarded("a", "b", fail)])


def test_both_files_name_the_card_and_hold_every_line(tmp_path: Path) -> None:
    findings = [Finding("decoding", "batch 8", State.MEASURED, "", {"BRIGHT / VQGAN": 1.25})]
    facts = {"card": "NVIDIA H100 80GB HBM3", "GiB": 79.1, "torch": "2.13"}
    written, table = write_report(tmp_path, facts, findings)
    assert (written.name, table.name) == ("nvidia-h100-80gb-hbm3.json", "nvidia-h100-80gb-hbm3.md")
    read = json.loads(written.read_text())
    assert read["card"] == facts["card"]
    assert read["findings"][0]["numbers"] == {"BRIGHT / VQGAN": 1.25}
    text = table.read_text()
    assert text == markdown(facts, findings)
    assert text.startswith("# NVIDIA H100 80GB HBM3\n")
    assert "| decoding | batch 8 | measured | BRIGHT / VQGAN 1.25 |" in text


@pytest.mark.parametrize(("state", "code"), [(State.RIGHT, 0), (State.NOT_CHECKED, 0), (State.WRONG, 1)])
def test_the_exit_code_says_whether_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: State, code: int
) -> None:
    def check(device: torch.device, _: Sizes) -> Iterator[Finding]:
        yield Finding("made up", device.type, state, "for a test")

    monkeypatch.setattr(command, "CHECKS", {"made-up": check})
    monkeypatch.setattr(command, "pick_device", lambda: CPU)
    if code:
        with pytest.raises(typer.Exit) as ended:
            command.gpu_check(tmp_path, None)
        assert ended.value.exit_code == code
    else:
        command.gpu_check(tmp_path, None)
    told = capsys.readouterr().out
    assert "No CUDA device: nothing here says anything of a GPU." in told
    assert "made up  cpu  for a test" in told
    assert len(list(tmp_path.iterdir())) == 2


def test_a_check_that_there_is_not_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--only: one of retrieval, .*, not memory"):
        command.gpu_check(tmp_path, ["memory"])


def test_the_page_lists_the_checks_and_shows_the_cards_that_there_are() -> None:
    page = (DOCS / "gpus.md").read_text(encoding="utf-8")
    assert [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")] == list(command.CHECKS)
    cards = sorted((DOCS / "gpus").glob("*.md"))
    assert (NOBODY in page) == (not cards)
    assert all(f"](gpus/{card.name})" in page and card.with_suffix(".json").exists() for card in cards)
