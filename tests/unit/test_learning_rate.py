"""The learning rate of a step: linear warm-up, then cosine decay to zero or none."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.task import learning_rate


def test_diffusion_warms_up_and_then_decays_to_zero() -> None:
    rates = [learning_rate(0.5, step, 110, "cosine", warmup=10, decay_from=10) for step in range(111)]
    assert [rates[step] for step in (0, 4, 9, 10, 60)] == pytest.approx([0.05, 0.25, 0.5, 0.5, 0.25])
    assert rates[35] == pytest.approx(0.5 * math.cos(math.pi / 8) ** 2)
    assert rates[110] == pytest.approx(0, abs=1e-12)


def test_without_decay_the_rate_stays_after_the_warm_up() -> None:
    rates = [learning_rate(0.5, step, 100, "none", warmup=10) for step in (0, 9, 50, 99)]
    assert rates == pytest.approx([0.05, 0.5, 0.5, 0.5])


def test_an_autoencoder_warms_up_over_images_while_its_cosine_falls_from_the_first_step() -> None:
    rates = [learning_rate(1.0, step, 40, "cosine", warmup=32, per_step=4) for step in range(41)]
    decay = [0.5 * (1 + math.cos(math.pi * step / 40)) for step in range(41)]
    assert rates == pytest.approx([min(1, (step + 1) / 8) * factor for step, factor in enumerate(decay)])


@given(st.integers(1, 50), st.integers(0, 60), st.floats(1e-6, 1))
def test_the_rate_is_positive_and_never_above_its_peak(steps: int, warmup: int, peak: float) -> None:
    rates = [learning_rate(peak, step, steps, "cosine", warmup=warmup, decay_from=warmup) for step in range(steps)]
    assert all(0 < rate <= peak * (1 + 1e-12) for rate in rates)
