"""Pictures for people."""

import numpy as np
import pytest
import torch
from bright_pipeline.data.pictures import contact_sheet
from torchvision.utils import make_grid


@pytest.mark.parametrize("channels", [1, 3])
def test_a_contact_sheet_is_torchvisions_grid_of_enlarged_images(channels: int) -> None:
    images = torch.rand(7, channels, 40, 40, generator=torch.Generator().manual_seed(0)) * 2.2 - 1.1
    enlarged = images.clamp(-1, 1).repeat_interleave(3, 2).repeat_interleave(3, 3)
    grid = (make_grid((enlarged + 1) / 2, nrow=4, padding=2) * 255).round().byte().permute(1, 2, 0)
    assert (np.asarray(contact_sheet([images[:4], images[4:]])) == grid.numpy()).all()
