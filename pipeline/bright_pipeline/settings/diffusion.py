"""Config of diffusion models on key codes, and of sample sets (section 4, appendix A.2)."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bright_pipeline.settings.execution import Execution, Precision
from bright_pipeline.settings.fields import MOST_BLOCKS, Betas, Counts, Section, added, check_jobs, operational, setting
from bright_pipeline.settings.weights import ImportedWeights, InitialWeights, SnapshotOf, check_weights

Schedule = Literal["squaredcos_cap_v2", "linear", "scaled_linear"]
Prediction = Literal["noise", "velocity"]


class UNet(Section):
    """diffusers' UNet2DModel."""

    channels: int = setting(256, "Unit channels.", ge=1)
    multipliers: Counts = setting([1, 2, 3, 4], "Channel multipliers per level.")
    blocks: int = setting(2, "Residual blocks per level.", ge=1, le=MOST_BLOCKS)
    attention_resolutions: Counts = setting([32, 16, 8], "Resolutions with attention.")
    head_width: int | None = setting(8, "Channels of an attention head; null: a single head.", ge=1)
    norm_groups: int = setting(32, "Groups of GroupNorm.", ge=1)
    variant: Literal["ldm", "ddpm"] = setting(
        "ldm", "Details of LDM's or DDPM's UNet: time embedding, epsilon of GroupNorm, padding before downsampling."
    )

    def _check(self) -> None:
        for multiplier in self.multipliers:
            width = self.channels * multiplier
            if width % self.norm_groups or width % (self.head_width or 1):
                both = f"norm_groups = {self.norm_groups} and head_width = {self.head_width}"
                raise ValueError(f"channels: {width} (channels x multiplier {multiplier}) must be divisible by {both}")


class DiffusionTraining(Section):
    """Optimization (section 4)."""

    steps: int = setting(1_000_000, "Optimizer steps; the cosine decay ends there.", ge=1)
    batch: int = setting(128, "Codes per step, over all processes.", ge=1)
    learning_rate: float = setting(8e-4, "Adam's learning rate. The paper: 8e-4; the authors' code: 8e-5.", gt=0)
    warmup_steps: int = setting(10_000, "Steps of linear warm-up.", ge=0)
    betas: Betas = setting((0.9, 0.999), "Adam's betas.")
    ema_decay: float = setting(0.9999, "Decay of the EMA weights per step.", ge=0, lt=1)
    decay: Literal["none", "cosine"] = added("cosine", "Decay after warm-up. cosine: to the floor at the last step.")
    learning_rate_floor: float = added(0.0, "Lowest rate of the decay. The authors' code: 1e-5.", ge=0)
    min_snr_gamma: float | None = setting(5.0, "gamma of min-SNR weighting; null: none, as in DDPM and LDM.", gt=0)
    gradient_clip: float = setting(1.0, "Gradients are clipped to this norm.", gt=0)


class Denoising(Section):
    """A UNet that removes noise from a code or an image, and its noise schedule."""

    unet: UNet = setting(UNet(), "The network.")
    schedule: Schedule = setting(
        "squaredcos_cap_v2",
        "Noise schedule. squaredcos_cap_v2: cosine; linear: DDPM's; scaled_linear: LDM's, linear in deviations.",
    )
    beta_range: tuple[float, float] = setting((1e-4, 0.02), "Variances of linear schedules; LDM, FFHQ: 0.0015, 0.0195.")
    timesteps: int = setting(1000, "Training timesteps.", ge=2)
    prediction: Prediction = setting(
        "noise", "Of the network. noise: the paper's; velocity: Salimans and Ho (2022), better in short trainings here."
    )
    training: DiffusionTraining = setting(DiffusionTraining(), "Optimization.")


class Diffusion(Denoising):
    """A diffusion model on the codes of one autoencoder."""

    REFERENCES = ("autoencoder",)
    autoencoder: str = Field(description="A name under `autoencoders`.")
    rescaling: Literal["auto", "range", "first_batch", "standardize", "none"] = setting(
        "auto",
        "Rescaling of codes before diffusion. range: from their bounds to [-1, 1], as in the paper for key"
        " codes. first_batch: bounded codes are centred, and codes are divided by the standard deviation of the first"
        " batch, as in LDM (section 3.4). auto: range if the family's codes are bounded, else first_batch. standardize:"
        " every channel gets mean 0 and standard deviation 1 over the training codes. Sampling clips bounded codes to"
        " their bounds at every step.",
    )
    code_noise: float = added(
        0.0,
        "Standard deviation of fresh normal noise that is added to the codes at every draw, in their own units. The"
        " authors' code: that of the keys in training, 1 / (4 r_max).",
        ge=0,
    )
    splits: Literal["train", "train and validation"] = added(
        "train", "The images whose codes it learns. The authors' code: those of both splits."
    )
    weights: ImportedWeights = None
    snapshot_of: SnapshotOf = None
    initial_weights: InitialWeights = None
    execution: Execution = setting(Execution(), "How the training runs.")
    seed: int = setting(0, "Added to the run's root seed.")

    def _check(self) -> None:
        if self.training.learning_rate_floor > self.training.learning_rate:
            raise ValueError("training.learning_rate_floor: must be at most training.learning_rate")
        self.execution.check_batch(self.training.batch)
        self.execution.check_without_images()
        check_weights(self, "diffusion")

    def architecture(self) -> dict[str, Any]:
        """The keys that determine the network and how it is sampled: what imported weights depend on."""
        architecture = {"unet", "schedule", "beta_range", "timesteps", "prediction"}
        return {key: value for key, value in self.numerical().items() if key in architecture}


class Sampler(Section):
    """How a key code is generated from noise."""

    kind: Literal["ddpm", "ddim", "dpm_solver"] = setting("ddpm", "DDPM, DDIM or DPM-Solver++.")
    steps: int = setting(1000, "Denoising steps.", ge=1)
    eta: float = added(0.0, "DDIM's noise (Song et al. 2021, equation 16). 0: none; 1: as in DDPM.", ge=0, le=1)
    final_noise: float = added(
        0.0,
        "Deviation of the noise at which DDIM ends, on rescaled codes: the decoder gets noisy codes, as it had in"
        " training. 0: clean codes.",
        ge=0,
        lt=1,
    )

    def _check(self) -> None:
        for key in ("eta", "final_noise"):
            if getattr(self, key) and self.kind != "ddim":
                raise ValueError(f"{key}: only for kind ddim, not {self.kind}")


class SampleSet(Section):
    """Keys of every sample set. Image i depends only on the seed and i."""

    REFERENCES = ("dataset", "autoencoder", "diffusion", "generator")
    count: int = setting(50_000, "Number of images.", ge=2)
    seed: int = setting(0, "Added to the run's root seed.")
    shard: int = operational(1000, "Images per shard. Each shard is a job.", ge=1)
    micro_batch: int = setting(64, "Images per batch of a network; the last batch is padded.", ge=1)
    cpu_threads: int = setting(1, "Threads on a CPU.", ge=1)
    precision: Precision | None = added(
        None,
        "Precision of the networks, as `execution.precision`. By default bf16 or fp16 where the model trains in it,"
        " else fp32.",
        before="fp32",
    )

    def _check(self) -> None:
        check_jobs("shard", self.count, self.shard)


Decoder = Annotated[
    str | None,
    Field(
        description="An entry of `autoencoders` that decodes the codes in place of their own autoencoder: its decoder"
        " stage (`decoder_stage`).",
        json_schema_extra={"by_content": True},
    ),
]


class DiffusionSamples(SampleSet):
    """Images decoded from the codes of a diffusion model."""

    kind: Literal["diffusion"]
    diffusion: str = Field(description="A name under `diffusions`.")
    decoder: Decoder = None
    sampler: Sampler = setting(Sampler(), "The sampler.")


class GaussianSamples(SampleSet):
    """Images decoded from samples of a full-covariance Gaussian fitted to the training codes."""

    kind: Literal["gaussian_codes"]
    autoencoder: str = Field(description="A name under `autoencoders`.")
    decoder: Decoder = None


class GeneratorSamples(SampleSet):
    """Images of a generator."""

    kind: Literal["generator"]
    generator: str = Field(description="A name under `generators`.")
    sampler: Sampler = setting(Sampler(), "The sampler, for a family of diffusion models.")


class RealSamples(SampleSet):
    """Training images: the distance of real images to real images."""

    kind: Literal["real"]
    dataset: str = Field(description="A name under `datasets`.")


class FilesSamples(SampleSet):
    """Images generated by another program, such as StyleGAN2: the first `count` by name."""

    kind: Literal["files"]
    path: Path = Field(description="A folder of images, including its subfolders, or a zip archive.")
    dataset: str = Field(description="A name under `datasets`: the dataset that the images imitate.")
    method: str = Field(description="The method as printed in the paper's tables: `StyleGAN2`, `LDM`, `DDPM`.")


Samples = Annotated[
    DiffusionSamples | GaussianSamples | GeneratorSamples | RealSamples | FilesSamples, Field(discriminator="kind")
]
