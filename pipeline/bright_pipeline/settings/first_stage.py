"""Config that VQGAN, RQ-VAE and LDM's KL autoencoder share: VQGAN's network, losses and optimizer.

The defaults are those of VQGAN's code (CompVis/taming-transformers: the model, its perceptual loss and the published
configs for 256 x 256). Each family replaces the defaults that differ in its own code. Values that neither a paper nor
code specifies are marked as assumed.
"""

from bright_pipeline.settings import autoencoder
from bright_pipeline.settings.fields import MOST_BLOCKS, Counts, Noted, Section, preset, setting


class FirstStageNetwork(Section):
    """VQGAN's convolutional encoder and decoder (Esser et al. 2021, table 7), `ddconfig` in its code."""

    channels: int = setting(128, "Unit channels (`ch`).", ge=1)
    multipliers: Counts | None = setting(None, "Multipliers per level (`ch_mult`); by default from (1, 1, 2, 2, 4).")
    blocks: int = setting(2, "Residual blocks per level; the decoder has one more.", ge=1, le=MOST_BLOCKS)
    norm_groups: int = autoencoder.NORM_GROUPS
    attention_resolutions: Counts = setting([16], "Resolutions with attention; the middle block always has it.")
    latent_channels: int | None = setting(None, "Channels before the code (`z_channels`); by default C_z.", ge=1)


@preset(
    l2_weight=0.0,
    l1_weight=1.0,
    perceptual_weight=1.0,
    perceptual={"network": "lpips_vgg"},
    adversarial={
        "kind": "hinge",
        "weight": Noted(0.8, "VQGAN's `disc_weight`"),
        "adaptive": True,
        "penalty_weight": 0.0,
        "start_images": Noted(360_000, "VQGAN's `disc_start`, 30,000 steps of 12 images"),
    },
)
class FirstStageLosses(autoencoder.Losses):
    """L1, LPIPS on VGG16, and a hinge loss with an adaptive weight (Esser et al. 2021, equation 7)."""


@preset(
    discriminator={"kind": "patch", "channels": 64},  # VQGAN's patch discriminator, which is pix2pix's
    training={
        "images": Noted(2_400_000, "assumed, as for BRIGHT"),
        "batch": Noted(12, "assumed"),
        "learning_rate": Noted(5.4e-5, "VQGAN's, 4.5e-6 times the batch"),
        "betas": (0.5, 0.9),
        "epsilon": 1e-8,
        "ema_half_life_images": Noted(0, "none, as in VQGAN's code"),
    },
)
class FirstStage(autoencoder.AutoencoderSettings):
    """Settings that the three families share."""

    network: FirstStageNetwork = setting(FirstStageNetwork(), "Encoder and decoder.")
    losses: FirstStageLosses = setting(FirstStageLosses(), "Losses and their weights.")

    def check_resolution(self, resolution: int) -> None:
        """Require a multiplier for each level from the image's resolution down to H_z."""
        size = self.code_size.height
        if resolution < size:
            raise ValueError(f"code_size: H_z must be at most the dataset's resolution {resolution}, not {size}")
        autoencoder.check_multipliers("network.multipliers", self.network.multipliers, resolution, size)
