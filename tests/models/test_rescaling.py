"""Codes on the scale of the diffusion model (section 3.4)."""

import pytest
import torch
from bright_pipeline.models.rescaling import ROWS, Rescaling, fit_rescaling
from hypothesis import given
from hypothesis import strategies as st


def random_codes(count, size=1.0, shift=0.0, channels=3):
    return size * torch.randn(count, channels, 2, 2, generator=torch.Generator().manual_seed(0)) + shift


def test_key_codes_become_2z_minus_1_whatever_they_are():
    rescaling = fit_rescaling("auto", (0.0, 1.0), torch.rand(3, 2, 4, 4), [0])
    codes = torch.tensor([[[0.0, 0.25, 1.0]]])
    assert rescaling.apply(codes).tolist() == [[[-1.0, -0.5, 1.0]]]
    assert rescaling.undo(torch.tensor([[[-1.5, 0.0, 1.0]]])).tolist() == [[[0.0, 0.5, 1.0]]]
    assert rescaling.clip(torch.tensor([[[-1.5, 0.0, 2.0]]])).tolist() == [[[-1.0, 0.0, 1.0]]]


@given(st.floats(0.01, 100), st.floats(-5, 5))
def test_the_first_batch_gets_a_standard_deviation_of_one(size, shift):
    codes = random_codes(8, size, shift)
    rescaling = fit_rescaling("auto", None, codes, [5, 1, 2])
    batch = codes[[5, 1, 2]]
    assert float(rescaling.apply(batch).double().std(correction=0)) == pytest.approx(1, rel=1e-4)
    assert rescaling.shift == (0.0,)
    assert rescaling.bounds is None


@given(st.floats(0.01, 100), st.floats(-5, 5), st.sampled_from([2, 5]))
def test_every_channel_is_standardized_over_all_codes(size, shift, count):
    codes = random_codes(count, size, shift) * torch.tensor([1.0, 2.0, 5.0])[:, None, None]
    rescaled = fit_rescaling("standardize", None, codes, [0]).apply(codes.double())
    torch.testing.assert_close(rescaled.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(rescaled.std((0, 2, 3), correction=0), torch.ones(3).double(), atol=1e-9, rtol=0)


def test_codes_that_are_all_the_same_have_no_deviation_to_divide_by():
    with pytest.raises(ValueError, match="rescaling: first_batch: all numbers of its codes are the same"):
        fit_rescaling("auto", None, torch.ones(4, 3, 2, 2), [0, 1])


def test_more_codes_than_are_looked_at_at_once_are_standardized_together():
    codes = random_codes(2 * ROWS + 3, channels=1)
    codes[ROWS:] += 10
    rescaling = fit_rescaling("standardize", None, codes, [0])
    assert rescaling.shift[0] == pytest.approx(float(codes.double().mean()), rel=1e-12)
    assert 1 / rescaling.scale[0] == pytest.approx(float(codes.double().std(correction=0)), rel=1e-12)


def test_standardized_keys_keep_their_bounds():
    codes = torch.rand(9, 2, 2, 2) * torch.tensor([1.0, 0.1])[:, None, None]
    rescaling = fit_rescaling("standardize", (0.0, 1.0), codes, [0])
    far = torch.tensor([-100.0, 100.0]).expand(2, 1, 2)
    ends = torch.tensor([0.0, 1.0]).expand(2, 1, 2)
    torch.testing.assert_close(rescaling.clip(far), rescaling.apply(ends))
    assert torch.equal(rescaling.undo(far), ends)


@given(st.floats(-10, 10), st.floats(0.1, 10), st.floats(-20, 20))
def test_undoing_leads_back(shift, scale, code):
    rescaling = Rescaling((shift,), (scale,))
    codes = torch.full((1, 1, 1), code, dtype=torch.float64)
    torch.testing.assert_close(rescaling.undo(rescaling.apply(codes)), codes, atol=1e-9, rtol=1e-9)
    assert fit_rescaling("none", None, torch.rand(2, 1, 2, 2), [0]) == Rescaling(), "none leaves codes alone"


@pytest.mark.parametrize(
    ("rule", "bounds", "codes", "said"),
    [
        ("range", None, torch.rand(2, 1, 2, 2), "range needs codes with bounds"),
        ("standardize", None, torch.ones(2, 1, 2, 2), "channel 0 of the codes is the same everywhere"),
    ],
)
def test_a_rule_that_does_not_suit_the_codes_is_refused(rule, bounds, codes, said):
    with pytest.raises(ValueError, match=said):
        fit_rescaling(rule, bounds, codes, [0])


def test_bounded_codes_are_about_zero_after_first_batch_and_keep_their_bounds() -> None:
    codes = torch.rand(64, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    rescaling = fit_rescaling("first_batch", (0.0, 1.0), codes, list(range(64)))
    scaled = rescaling.apply(codes)
    assert abs(float(scaled.mean())) < 0.1
    assert float(scaled.std()) == pytest.approx(1, rel=1e-3)
    assert rescaling.bounds == (0.0, 1.0)
    torch.testing.assert_close(rescaling.undo(scaled), codes)
    unbounded = fit_rescaling("first_batch", None, codes, list(range(64)))
    assert (unbounded.shift, unbounded.bounds) == ((0.0,), None)
