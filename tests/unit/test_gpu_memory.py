"""The memory that trainings need on a GPU: verdicts and warnings, from given costs."""

from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.config.root import read_config
from pipeline.estimation.devices import Cost, TrainingCost, Work, choose_card, choose_device
from pipeline.estimation.memory import GIBI, fits, memory_warnings, needed_gib, too_large, trainings

PAPER = Path(__file__).parents[2] / "config" / "paper.yaml"
STEP = Cost(operations=1234, work=Work(5e12), kept=20 * GIBI, peak=30 * GIBI, to_device=1, to_host=0)
COST = TrainingCost(16, 2, "fp32", 10**7, GIBI, STEP, Work(1e18))


@pytest.mark.parametrize(
    ("name", "memory", "large_enough"),
    [
        ("rtx4090", 24, False),
        ("a100", 80, True),
        ("a100-40gb", 40, True),
        ("NVIDIA A100-SXM4-40GB", 40, True),
        ("L40S 48GB", 48, True),
        ("cpu", None, None),
    ],
)
def test_a_card_s_memory_is_in_the_table_or_in_its_name(name: str, memory: float | None, large_enough: bool) -> None:
    assert choose_card(name).memory_gib == choose_device(name, 30.0 if "L40S" in name else None).memory_gib == memory
    assert fits(COST, choose_card(name)) is large_enough


def test_a_card_of_unknown_memory_gets_one_line() -> None:
    with pytest.raises(InputError, match=r"--device: 'L40S' is not in the table, which has a100, .*such as L40S-48gb"):
        choose_card("L40S")


def test_a_training_that_does_not_fit_is_named_with_what_would_help() -> None:
    assert needed_gib(COST) == pytest.approx(30 * 1.05 + 1.5)
    line = too_large("autoencoders.main", COST, choose_card("rtx4090"))
    assert line.startswith("autoencoders.main: a step needs about 33 GiB (fp32, a batch of 16 on each of 2 GPUs)")
    assert "rtx4090 has 24: use more GPUs (execution.gpus), smaller micro-batches" in line


def test_imported_models_and_trainings_on_a_cpu_need_no_gpu() -> None:
    config = read_config(PAPER)
    known = trainings(config)
    assert len(known) == len(config.autoencoders) + len(config.diffusions) + len(config.generators)
    for entries, card in (([], "rtx4090"), (["samples.ffhq"], "rtx4090"), (known, "abacus"), (known, "cpu")):
        assert memory_warnings(config, entries, card) == []
