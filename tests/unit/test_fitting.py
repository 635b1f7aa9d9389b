"""What `bright cost` and the doctor say of a GPU's memory, of counted steps; no step is counted here."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.commands.cost import cost
from pipeline.config.root import read_config
from pipeline.estimation.costs import Cost, ModelCost
from pipeline.estimation.devices import choose_card
from pipeline.estimation.fitting import GIBI, TrainingCost, facts, memory_warnings, text, too_large, trainings

PAPER = Path(__file__).parents[2] / "config" / "paper.yaml"
STEP = Cost(operations=1234, flops=5 * 10**12, kept=20 * GIBI, peak=30 * GIBI, to_device=1, to_host=0)
COUNTED = TrainingCost(("autoencoders.main", "autoencoders.twin"), "fp32", 2, ModelCost(16, 10**7, GIBI, STEP, {}))


@pytest.mark.parametrize(
    ("name", "memory", "fits"),
    [
        ("rtx4090", 24, False),
        ("a100", 80, True),
        ("a100-40gb", 40, True),
        ("NVIDIA A100-SXM4-40GB", 40, True),
        ("L40S 48GB", 48, True),
    ],
)
def test_a_cards_memory_is_the_tables_or_what_its_name_says(name: str, memory: float, fits: bool) -> None:
    card = choose_card(name)
    assert card.memory_gib == memory
    assert COUNTED.fits(card) is fits
    assert ("yes" if fits else "no") in text([COUNTED], card)


def test_a_card_whose_memory_nobody_knows_is_asked_for() -> None:
    with pytest.raises(InputError, match=r"--device: 'L40S' is not in the table, which has a100, .*such as L40S-48gb"):
        choose_card("L40S")


def test_a_training_that_does_not_fit_is_named_with_what_would_help() -> None:
    first, second = too_large([COUNTED], choose_card("rtx4090"))
    assert first.startswith("autoencoders.main: a step needs about 33 GiB (fp32, 16 of a batch on each of 2 GPUs)")
    assert "rtx4090 has 24" in first
    assert "execution.gpus" in first
    assert second.startswith("autoencoders.twin: ")
    assert too_large([COUNTED], choose_card("a100")) == []


def test_a_device_of_unknown_memory_and_a_training_that_was_not_counted_are_judged_by_nobody() -> None:
    uncounted = replace(COUNTED, cost=None, problem="the host waits")
    assert COUNTED.fits(choose_card("cpu")) is None
    assert uncounted.fits(choose_card("rtx4090")) is None
    assert "not counted: the host waits" in text([uncounted], None)
    assert facts([uncounted], None)["trainings"][0]["peak_gib"] is None


def test_what_is_imported_is_not_trained_and_what_trains_on_a_cpu_needs_no_gpu() -> None:
    config = read_config(PAPER)
    known = trainings(config)
    assert len(known) == len(config.autoencoders) + len(config.diffusions) + len(config.generators)
    assert list(trainings(config, ["diffusions.ffhq", "samples.ffhq"])) == ["diffusions.ffhq"]
    assert memory_warnings(config, [], "rtx4090") == []
    assert memory_warnings(config, known, "abacus") == []
    assert memory_warnings(config, known, "cpu") == []


def test_an_entry_that_is_no_training_is_named() -> None:
    with pytest.raises(InputError, match=r"samples\.ffhq: no training of .*which has autoencoders\.ffhq-16x16x8"):
        cost(PAPER, ["samples.ffhq"])
