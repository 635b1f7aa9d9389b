"""What a training sums over its processes, with an accelerator that has the other processes' rows at hand."""

import pytest
import torch
from torch import Tensor

from pipeline.training.processes import average_numbers, batch_gradient_norm


class Processes:
    """Stands in for accelerate in the first of several processes; `others`: what the others bring to a sum."""

    def __init__(self, *others: Tensor):
        self.others, self.num_processes = others, 1 + len(others)

    def reduce(self, own: Tensor, how: str) -> Tensor:
        total = torch.stack([own, *self.others]).sum(0)
        return total / self.num_processes if how == "mean" else total


@pytest.mark.parametrize("processes", [1, 3])
def test_the_norm_of_a_gradient_is_that_of_the_whole_batch(processes: int) -> None:
    whole = torch.randn(processes, 2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    others = [part.square().sum() for part in whole[1:]]
    torch.testing.assert_close(batch_gradient_norm(Processes(*others), [whole[0]]), whole.norm())  # type: ignore[arg-type]


def test_a_steps_numbers_are_means_over_the_processes() -> None:
    numbers = {"l2": torch.tensor(1.0), "adversarial": torch.tensor(-2.0)}
    found = average_numbers(Processes(torch.tensor([3.0, 0.0]).double()), numbers)  # type: ignore[arg-type]
    assert {name: float(value) for name, value in found.items()} == {"l2": 2.0, "adversarial": -1.0}
