"""How well a model reconstructs validation images while it is trained, for its history; as `reconstruct` measures."""

from pathlib import Path

import torch
from torch import Tensor

from pipeline.data.archive import ImageArchive, to_model, to_uint8, to_unit
from pipeline.evaluation.reconstruction import METRICS
from pipeline.models.autoencoder import ImageAutoencoder
from pipeline.models.perceptual import LpipsDistance

IMAGES = 256  # the first of the split
MICRO_BATCH = 32


class Validation:
    """PSNR, SSIM and LPIPS of the first images of a validation split, means over images."""

    def __init__(self, images: Path, lpips_alex: Path, device: torch.device):
        archive = ImageArchive(images)
        self.images, self.device = archive.tensor(range(min(IMAGES, len(archive)))), device
        self.distance = LpipsDistance("lpips_alex", lpips_alex).to(device)

    @torch.no_grad()
    def __call__(self, model: ImageAutoencoder) -> dict[str, float]:
        """Of the model as it is; an exact copy's infinite PSNR is left out of the mean. It goes on training after."""
        model.eval()
        with model.frozen():
            parts = [self._measured(model, part) for part in self.images.split(MICRO_BATCH)]
        model.train()
        values = {f"validation_{name}": torch.cat([part[name] for part in parts]).double() for name in parts[0]}
        finite = {name: one[one.isfinite()] for name, one in values.items()}
        return {name: float(one.mean()) for name, one in finite.items() if len(one)}

    def _measured(self, model: ImageAutoencoder, images: Tensor) -> dict[str, Tensor]:
        """Of each of these uint8 images."""
        images = images.to(self.device)
        made = to_unit(to_uint8(model.decode(model.encode(to_model(images)))))
        real = to_unit(images)
        found = {name: metric(real, made) for name, metric in METRICS.items()}
        return found | {"lpips_alex": self.distance(2 * made - 1, 2 * real - 1)}
