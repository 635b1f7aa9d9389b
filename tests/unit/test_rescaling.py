"""Codes on the scale of the diffusion model (section 3.4)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models.diffusion import Rescaling, fit_rescaling


def test_key_codes_become_2z_minus_1_whatever_the_batch():
    rescaling = fit_rescaling("auto", (0.0, 1.0), torch.rand(3, 2, 4, 4))
    codes = torch.tensor([0.0, 0.25, 1.0])
    assert rescaling.apply(codes).tolist() == [-1.0, -0.5, 1.0]
    assert rescaling.undo(torch.tensor([-1.5, 0.0, 1.0])).tolist() == [0.0, 0.5, 1.0]
    assert rescaling.bound == 1.0


@given(st.floats(0.01, 100), st.floats(-5, 5))
def test_the_first_batch_gets_a_standard_deviation_of_one(size, shift):
    batch = size * torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(0)) + shift
    rescaling = fit_rescaling("auto", None, batch)
    assert float(rescaling.apply(batch).double().std(correction=0)) == pytest.approx(1, rel=1e-4)
    assert rescaling.bound is None


@given(st.floats(-10, 10), st.floats(0.1, 10), st.floats(-20, 20))
def test_undoing_leads_back(shift, scale, code):
    rescaling = Rescaling(shift, scale)
    codes = torch.tensor([code], dtype=torch.float64)
    torch.testing.assert_close(rescaling.undo(rescaling.apply(codes)), codes, atol=1e-9, rtol=1e-9)


def test_no_rescaling_leaves_codes_alone_and_a_range_needs_bounds():
    assert fit_rescaling("none", None, torch.rand(2, 1, 2, 2)) == Rescaling()
    with pytest.raises(ValueError, match="first_batch"):
        fit_rescaling("range", None, torch.rand(2, 1, 2, 2))
