"""Config of autoencoders: the keys of every family, and BRIGHT's (section 3, appendix A) with the paper's defaults."""

from math import log2
from typing import Any, Literal

from pydantic import Field

from bright_pipeline.settings import fields
from bright_pipeline.settings.execution import Execution
from bright_pipeline.settings.fields import Betas, Counts, Section, added, is_power_of_two, setting
from bright_pipeline.settings.weights import ImportedWeights, InitialWeights, SnapshotOf, check_weights

DEFAULT_LEVELS = 5  # number of default channel multipliers: (1, 1, 2, 2, 4)


class HashTables(Section):
    """Groups of multi-resolution hash tables (section 3.2)."""

    key_length: int = setting(1, "C_key, the length of a unit key.", ge=1, le=4)
    resolutions: int = setting(16, "N_r, the number of resolutions in a group.", ge=1, le=256)
    coarsest_resolution: int = setting(4, "r_min.", ge=2)
    finest_resolution: int = setting(64, "r_max.", ge=2)
    features_per_entry: int = setting(4, "C_v, numbers in a table entry.", ge=1)
    entries_log2: int = setting(18, "Base-2 logarithm of the most entries of a table.", ge=4, le=24)
    convention: Literal["tcnn", "ngp"] = setting(
        "tcnn", "Nodes per dimension. tcnn: r, as in tiny-cuda-nn; ngp: r + 1, as Tables 3, 7 and 8 count."
    )
    retrieval: Literal["auto", "gather", "separable", "triton", "tinycudann"] = setting(
        "auto", "auto: triton on a GPU that runs it, else separable (C_key = 1) or gather. A CPU uses these two only."
    )
    hidden_width: int = setting(64, "Width of the two hidden layers of F_mlp.", ge=1)
    coordinates: bool = added(True, "Whether a query ends with (x, y) (equation 1). false: an ablation.")

    def _check(self) -> None:
        coarsest, finest = self.coarsest_resolution, self.finest_resolution
        if finest < coarsest:
            raise ValueError(f"finest_resolution: must be at least coarsest_resolution ({coarsest}), not {finest}")
        if self.retrieval == "separable" and self.key_length != 1:
            raise ValueError(f"retrieval: separable needs key_length 1, not {self.key_length}; use gather")
        if self.retrieval in {"separable", "triton", "tinycudann"} and not self.coordinates:
            raise ValueError(f"retrieval: {self.retrieval} needs coordinates: true; without them use gather or auto")


def check_multipliers(key: str, given: list[int] | None, resolution: int, size: int) -> None:
    """ValueError unless there is a multiplier for each level from the image's resolution down to H_z."""
    levels = int(log2(resolution // size)) + 1
    if given is not None and len(given) != levels:
        raise ValueError(f"{key}: must have {levels} numbers, from {resolution} down to H_z = {size}, not {len(given)}")
    if given is None and levels > DEFAULT_LEVELS:
        raise ValueError(f"{key}: {levels} levels need explicit multipliers, one for each")


NORM_GROUPS = added(
    32,
    "Groups of GroupNorm, as in VQGAN; fewer if they do not divide a width. With one group per channel, every channel"
    " is normalized separately and a decoder loses an image's brightness and contrast: narrow networks need fewer.",
    ge=1,
)


class Encoder(Section):
    """VQGAN's encoder with a sigmoid (section 3.1, appendix A.1)."""

    channels: int = setting(32, "Unit channels.", ge=1)
    multipliers: Counts | None = setting(None, "Channel multipliers per level; by default from (1, 1, 2, 2, 4).")
    blocks: int = setting(2, "Residual blocks per level.", ge=1, le=fields.MOST_BLOCKS)
    norm_groups: int = NORM_GROUPS
    attention_from: int = setting(64, "Attention at resolutions from this one down to H_z. 0: none.", ge=0)
    activation: Literal["silu", "leaky_relu"] = added("silu", "silu: VQGAN's; leaky_relu: the authors' code's.")


class Decoder(Section):
    """StyleGAN2-type synthesis from the feature block (section 3.3)."""

    style_width: int = setting(512, "Width of the style code. 0: none, and no modulation (an ablation).", ge=0)
    channels: Counts | None = setting(None, "Channels at H_d, 2 H_d, ...; by default C_d, halved at each doubling.")


class Discriminator(Section):
    """StyleGAN2's discriminator, or VQGAN's patch discriminator."""

    kind: Literal["stylegan2", "patch"] = setting("stylegan2", "patch: VQGAN's PatchGAN discriminator.")
    channels: int = setting(512, "stylegan2: the most channels; patch: channels of the first layer.", ge=1)
    base: int = setting(32768, "stylegan2: channels at resolution r are min(channels, base // r).", ge=1)
    layers: int = setting(3, "patch: number of convolutions with stride 2.", ge=1)
    minibatch_deviation: int = setting(0, "stylegan2: group size of minibatch standard deviation. 0: none.", ge=0)


class Perceptual(Section):
    """The perceptual loss on features of a pretrained network."""

    network: Literal["vgg16", "lpips_alex", "lpips_vgg", "none"] = setting(
        "vgg16", "vgg16: Johnson's loss, which the paper cites; lpips_*: LPIPS; none: no perceptual loss."
    )
    distance: Literal["squared", "absolute"] = added(
        "squared", "Of vgg16 features. squared: Johnson's; absolute: the authors' code's, with much smaller gradients."
    )
    upsample: int = setting(1, "Factor by which images are enlarged before the network.", ge=1, le=8)
    resize: int | None = added(
        None, "Side to which images are resized before the network, in place of `upsample`; authors' code: 224.", ge=16
    )

    def _check(self) -> None:
        if self.resize is not None and self.upsample != 1:
            raise ValueError("resize: replaces upsample, which must be 1")


class Adversarial(Section):
    """The adversarial loss (equation 5)."""

    kind: Literal["wgan_gp", "logistic_r1", "hinge", "none"] = setting(
        "wgan_gp", "wgan_gp: the paper's; logistic_r1: the authors' code's; hinge: VQGAN's; none: no adversary."
    )
    weight: float = setting(1.0, "Weight of the adversarial loss.", ge=0)
    adaptive: bool = setting(
        False, "Multiply by VQGAN's adaptive factor: the ratio of the last layer's gradients, other losses to this one."
    )
    penalty_weight: float = setting(4.0, "Weight of the gradient penalty (appendix A.3). hinge has none.", ge=0)
    start_images: int = setting(0, "Training images before the adversarial loss begins.", ge=0)
    critic_only_images: int = setting(0, "Images from `start_images` on that train only the discriminator.", ge=0)

    def _check(self) -> None:
        if self.adaptive and not self.weight and self.kind != "none":
            raise ValueError("weight: must be above 0 if adaptive; kind: none disables the adversarial loss")


class Losses(Section):
    """Weights of equation 5 (appendix A.3)."""

    l2_weight: float = setting(20.0, "Weight of the L2 loss.", ge=0)
    l1_weight: float = setting(0.0, "Weight of the L1 loss, which VQGAN uses instead of L2.", ge=0)
    perceptual_weight: float = setting(5.0, "Weight of the perceptual loss.", ge=0)
    perceptual: Perceptual = setting(Perceptual(), "The perceptual loss.")
    adversarial: Adversarial = setting(Adversarial(), "The adversarial loss.")


class KeyLosses(Losses):
    """Equation 5, and penalties on key codes that go beyond the paper: they make codes easier to model."""

    key_penalty: float = added(0.0, "Weight of the mean (z - 1/2)^2 of keys z, which then fill a part of [0, 1].", ge=0)
    width_penalty: float = added(
        0.0,
        "Weight of the mean of -ln(width) over the keys, with `code_noise: learned`: up to a constant, the divergence"
        " of a noisy key's distribution from the uniform one on [0, 1].",
        ge=0,
    )
    smoothness_penalty: float = added(
        0.0,
        "Weight of the mean squared change of retrieved features, at the finer half of the resolutions, when keys move"
        " by a cell of the finest.",
        ge=0,
    )


class DecoderStage(Section):
    """Training of the decoder alone, on noisy codes of the frozen encoder in `initial_weights` (beyond the paper).

    The codes are those of the first entry, and so is every diffusion model on them: `samples.NAME.decoder` names the
    autoencoder that decodes.
    """

    noise: float = Field(
        ge=0,
        le=4,
        description="Standard deviation of the normal noise that is added to the codes before any tiling, in standard"
        " deviations of their channel over the first training images.",
    )


class AutoencoderTraining(Section):
    """Optimization with Adam (BRIGHT: section 4)."""

    images: int = setting(2_400_000, "Training images in total. Default: assumed, since the paper gives none.", ge=1)
    batch: int = setting(32, "Images per step, over all processes. Default: assumed, since the paper gives none.", ge=1)
    learning_rate: float = setting(2e-3, "Adam's learning rate of decoder, hash tables and discriminator.", gt=0)
    encoder_learning_rate: float | None = setting(None, "The encoder's; by default learning_rate.", gt=0)
    discriminator_learning_rate: float | None = setting(None, "The discriminator's; by default learning_rate.", gt=0)
    decay: Literal["none", "cosine"] = setting("none", "Decay of the learning rates over the training.")
    warmup_images: int = added(0, "Images of linear warm-up of the learning rates. 0: none.", ge=0)
    betas: Betas = setting((0.0, 0.99), "Adam's betas.")
    epsilon: float = setting(1e-15, "Adam's epsilon of encoder, decoder and hash tables.", gt=0)
    discriminator_epsilon: float = setting(1e-8, "Adam's epsilon of the discriminator.", gt=0)
    ema_half_life_images: float = setting(10_000, "EMA's half-life in images. 0: no EMA. Default: assumed.", ge=0)
    flip: bool = setting(False, "Random horizontal flips.")


def _require(schema: dict[str, Any], key: str) -> None:
    """Make a key required in a config's schema that the class does not require."""
    schema["properties"][key].pop("default")
    schema["required"].insert(0, key)


class AutoencoderSettings(Section, json_schema_extra=lambda schema: _require(schema, "dataset")):
    """Keys of every family of autoencoders (`bright_pipeline/families`)."""

    REFERENCES = ("dataset",)

    dataset: str = setting("", "A name under `datasets`.")  # a config needs it, a network alone does not
    family: str = setting("bright", "A module of `bright_pipeline/families`, or the dotted name of your own module.")
    code_size: fields.CodeSizeField = Field(description="H_z x W_z x C_z, such as 64x64x4.")
    weights: ImportedWeights = None
    snapshot_of: SnapshotOf = None
    initial_weights: InitialWeights = None
    decoder_stage: DecoderStage | None = added(None, "Train the decoder alone; needs `initial_weights`.")
    discriminator: Discriminator = setting(Discriminator(), "The discriminator.")
    losses: Losses = setting(Losses(), "Losses of equation 5 and their weights.")
    training: AutoencoderTraining = setting(AutoencoderTraining(), "Optimization.")
    execution: Execution = setting(Execution(), "How the training runs.")
    seed: int = setting(0, "Added to the run's root seed.")
    label: fields.Label = None

    def _check(self) -> None:
        height, width, _ = size = self.code_size
        if height != width or not is_power_of_two(height):
            raise ValueError(f"code_size: must be square with sides that are powers of two, such as 8x8x4, not {size}")
        adversarial = self.losses.adversarial
        if self.discriminator.kind == "patch" and adversarial.kind != "none":
            if adversarial.penalty_weight and adversarial.kind != "hinge":
                loss = f"the gradient penalty of {adversarial.kind}, which is defined per image"
                raise ValueError(f"discriminator.kind: must be stylegan2 with {loss}; batch norm of patch mixes images")
            if self.execution.processes > 1:
                raise ValueError(
                    f"execution.gpus: discriminator.kind patch needs one process, not {self.execution.processes}: its"
                    " batch norm would see only the images of its own process"
                )
        group = self.discriminator.minibatch_deviation if self.losses.adversarial.kind != "none" else 0
        self.execution.check_batch(self.training.batch, self.whole_batch_component(), group or 1)
        check_weights(self, "autoencoder")
        if self.decoder_stage is not None and (self.initial_weights is None or self.initial_weights.entry is None):
            raise ValueError("decoder_stage: needs initial_weights, the name of the entry whose encoder it keeps")

    def whole_batch_component(self) -> str | None:
        """The name of a component whose training step needs the whole batch at once; None if there is none."""
        adversarial = self.losses.adversarial
        if adversarial.kind == "none":
            return None
        if self.discriminator.kind == "patch":
            return "batch norm in the discriminator (discriminator.kind: patch)"
        return "losses.adversarial.adaptive" if adversarial.adaptive else None

    def check_resolution(self, resolution: int) -> None:
        """Checks that need the dataset's resolution. The message of a ValueError begins with the key."""

    def architecture(self) -> dict[str, Any]:
        """The keys that parameter and operation counts depend on."""
        other = ("dataset", "weights", "snapshot_of", "decoder_stage", "training", "losses", "discriminator")
        return {key: value for key, value in self.numerical().items() if key not in (*other, "execution", "seed")}


class Autoencoder(AutoencoderSettings):
    """BRIGHT's autoencoder: a row of Tables 2, 3, 4, 7 and 8."""

    family: Literal["bright"] = setting("bright", "The model family.")
    feature_size: int = setting(64, "H_d = W_d, the size of the feature block.", ge=1)
    feature_channels: int = setting(512, "C_d, channels of the feature block.", ge=1)
    tables: HashTables = setting(HashTables(), "The hash tables.")
    encoder: Encoder = setting(Encoder(), "The encoder.")
    decoder: Decoder = setting(Decoder(), "The decoder.")
    losses: KeyLosses = setting(KeyLosses(), "Losses of equation 5 and their weights.")
    code_noise: Literal["after_tiling", "before_tiling", "learned", "none"] = setting(
        "after_tiling",
        "Where noise is added to the key code during training (section 3.4). learned: before tiling, with a standard"
        " deviation (width) that the encoder predicts for each key; beyond the paper.",
    )
    code_noise_cells: float = added(
        0.25, "Standard deviation of the noise in cells of the finest resolution (1 / r_max). Paper: 1/4.", gt=0, le=16
    )
    style: Literal["feature_block", "groups"] = added(
        "feature_block",
        "Origin of the style code. groups: each group's mean retrieved features give a part of it and modulate F_mlp,"
        " whose hidden layers are as wide as its input, as in the authors' code.",
    )
    features: Literal["hash_tables", "mlp"] = added(
        "hash_tables",
        "Input of F_mlp. hash_tables: features from the hash tables; mlp: the tiled key and (x, y) themselves, with an"
        " MLP of three layers, as wide as those of all groups together, instead of tables (an ablation).",
    )

    def _check(self) -> None:
        super()._check()
        height, _, channels = self.code_size
        if self.losses.width_penalty and self.code_noise != "learned":
            raise ValueError("losses.width_penalty: needs code_noise: learned; fixed noise has no widths to penalize")
        if self.losses.smoothness_penalty and self.features != "hash_tables":
            raise ValueError("losses.smoothness_penalty: needs features: hash_tables, whose levels it compares")
        if self.style == "groups" and (self.features == "mlp" or not self.decoder.style_width):
            raise ValueError("style: groups needs features: hash_tables and a decoder.style_width above 0")
        if not is_power_of_two(self.feature_size):
            raise ValueError(f"feature_size: must be a power of two, such as 64, not {self.feature_size}")
        if self.feature_size < height:
            raise ValueError(f"feature_size: H_d must be at least H_z = {height} (code_size), not {self.feature_size}")
        ends = self.tables.coarsest_resolution, self.tables.finest_resolution
        if self.tables.resolutions == 1 and ends[0] != ends[1]:
            equal = "coarsest_resolution = finest_resolution"
            raise ValueError(f"tables.resolutions: a single resolution needs {equal}, not {ends[0]} and {ends[1]}")
        if channels % (length := self.tables.key_length):
            raise ValueError(f"code_size: C_z must be divisible by tables.key_length = {length}, not {channels}")
        groups = channels // length
        of_groups = {"feature_channels": self.feature_channels}
        of_groups |= {"decoder.style_width": self.decoder.style_width} if self.style == "groups" else {}
        for key, width in of_groups.items():
            if width % groups:
                raise ValueError(f"{key}: must be divisible by the number of groups N_h = {groups}, not {width}")

    def check_resolution(self, resolution: int) -> None:
        size, given = self.feature_size, self.decoder.channels
        if resolution < size:
            raise ValueError(f"feature_size: must be at most the dataset's resolution {resolution}, not {size}")
        check_multipliers("encoder.multipliers", self.encoder.multipliers, resolution, self.code_size.height)
        if given is not None and len(given) != (stages := int(log2(resolution // size)) + 1):
            wanted = f"{stages} numbers, from H_d = {size} up to {resolution}"
            raise ValueError(f"decoder.channels: must have {wanted}, not {len(given)}")
        if given is not None and given[0] != (width := self.feature_channels):
            raise ValueError(f"decoder.channels: the first must be feature_channels = {width}, not {given[0]}")
