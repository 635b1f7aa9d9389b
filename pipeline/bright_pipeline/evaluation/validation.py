"""Reconstruction metrics on validation images during training, for the history; measured as `reconstruct` does."""

from pathlib import Path

import torch

from bright_pipeline.data.archive import ImageArchive, to_model, to_uint8
from bright_pipeline.evaluation.reconstruction import MICRO_BATCH, image_metrics
from bright_pipeline.models.autoencoder import ImageAutoencoder
from bright_pipeline.models.perceptual import LpipsDistance

IMAGES = 256  # the first of the split


class Validation:
    """Mean PSNR, SSIM and LPIPS of the first images of a validation split."""

    def __init__(self, images: Path, lpips_alex: Path, device: torch.device):
        archive = ImageArchive(images)
        self.images = archive.tensor(range(min(IMAGES, len(archive))))
        self.device = device
        self.distances = {"lpips_alex": LpipsDistance("lpips_alex", lpips_alex).to(device)}

    @torch.no_grad()
    def __call__(self, model: ImageAutoencoder) -> dict[str, float]:
        """Means over the images, without the infinite PSNR of exact copies. The model is left in training mode."""
        model.eval()
        parts = []
        with model.frozen():
            for images in self.images.split(MICRO_BATCH):
                images = images.to(self.device)
                reconstructions = to_uint8(model.decode(model.encode(to_model(images))))
                parts.append(image_metrics(images, reconstructions, self.distances))
        model.train()
        means = {}
        for name in parts[0]:
            values = torch.cat([part[name] for part in parts]).double()
            if values.isfinite().any():
                means[f"validation_{name}"] = float(values[values.isfinite()].mean())
        return means
