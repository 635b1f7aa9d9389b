"""VQGAN's discriminator: PatchGAN (Isola et al. 2017), a score for every patch of an image."""

from torch import Tensor, nn

from pipeline.settings.autoencoder import Discriminator as DiscriminatorSettings

SLOPE = 0.2  # of the leaky ReLU
WIDEST = 8  # channels grow up to so many times the first layer's


class PatchDiscriminator(nn.Module):
    """4 x 4 convolutions: `layers` of stride 2, two of stride 1; weights start from N(0, 0.02^2)."""

    def __init__(self, settings: DiscriminatorSettings, resolution: int, channels: int):
        super().__init__()
        widths = [settings.channels * min(2**number, WIDEST) for number in range(settings.layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU(SLOPE)]
        for number in range(1, settings.layers + 1):
            stride = 2 if number < settings.layers else 1
            layers += [
                nn.Conv2d(widths[number - 1], widths[number], 4, stride, 1, bias=False),
                nn.BatchNorm2d(widths[number]),
                nn.LeakyReLU(SLOPE),
            ]
        self.network = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        self.network.apply(_start)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> (N, patches)."""
        return self.network(images).flatten(1).float()


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
