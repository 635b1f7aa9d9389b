"""Config of diffusion models on key codes, and of sample sets (section 4, appendix A.2)."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.settings.execution import Execution, Precision
from pipeline.settings.fields import Counts, Section, added, check_jobs, operational
from pipeline.settings.weights import ImportedWeights, InitialWeights, SnapshotOf, check_weights

Schedule = Literal["squaredcos_cap_v2", "linear", "scaled_linear"]
Prediction = Literal["noise", "velocity"]


class UNet(Section):
    """diffusers' UNet2DModel."""

    channels: int = Field(256, ge=1, description="Unit channels.")
    multipliers: Counts = Field([1, 2, 3, 4], description="Channel multipliers per level.")
    blocks: int = Field(2, ge=1, description="Residual blocks per level.")
    attention_resolutions: Counts = Field([32, 16, 8], description="Resolutions with attention.")
    head_width: int | None = Field(8, ge=1, description="Channels of an attention head; null: a single head.")
    norm_groups: int = Field(32, ge=1, description="Groups of GroupNorm.")
    variant: Literal["ldm", "ddpm"] = Field(
        "ldm",
        description="Details in which the UNets of LDM and DDPM differ: order and frequencies of the time embedding,"
        " epsilon of GroupNorm, padding before downsampling.",
    )

    @model_validator(mode="after")
    def _divisible(self) -> "UNet":
        for multiplier in self.multipliers:
            width = self.channels * multiplier
            if width % self.norm_groups or width % (self.head_width or 1):
                raise ValueError(
                    f"channels: {width} (channels x multiplier {multiplier}) must be divisible by"
                    f" norm_groups = {self.norm_groups} and head_width = {self.head_width}"
                )
        return self


class DiffusionTraining(Section):
    """Optimization (section 4)."""

    steps: int = Field(1_000_000, ge=1, description="Optimizer steps; the cosine decay ends there.")
    batch: int = Field(128, ge=1, description="Codes per step, over all processes.")
    learning_rate: float = Field(
        8e-4, gt=0, description="Adam's learning rate. 8e-4 as in the paper; the authors' code has 8e-5."
    )
    warmup_steps: int = Field(10_000, ge=0, description="Steps of linear warm-up.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Adam's betas.")
    ema_decay: float = Field(0.9999, ge=0, lt=1, description="Decay of the EMA weights per step.")
    decay: Literal["none", "cosine"] = added(
        "cosine", "cosine", "Decay of the learning rate after the warm-up. cosine: to zero at the last step."
    )
    min_snr_gamma: float | None = Field(
        5.0, gt=0, description="gamma of min-SNR weighting; null: equal weights for all timesteps, as in DDPM and LDM."
    )
    gradient_clip: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")


class Denoising(Section):
    """A UNet that removes noise from a code or an image, and its noise schedule."""

    unet: UNet = Field(UNet(), description="The network.")
    schedule: Schedule = Field(
        "squaredcos_cap_v2",
        description="Noise schedule. squaredcos_cap_v2: cosine; linear: DDPM's; scaled_linear: LDM's, linear in"
        " the square root of the variance.",
    )
    beta_range: tuple[float, float] = Field(
        (1e-4, 0.02), description="First and last variance of the linear schedules. LDM on FFHQ: 0.0015, 0.0195."
    )
    timesteps: int = Field(1000, ge=2, description="Training timesteps.")
    prediction: Prediction = Field(
        "noise",
        description="What the network predicts. noise: as in the paper; velocity: as in Salimans and Ho (2022), with"
        " better results in this project's short trainings.",
    )
    training: DiffusionTraining = Field(DiffusionTraining(), description="Optimization.")


class Diffusion(Denoising):
    """A diffusion model on the codes of one autoencoder."""

    autoencoder: str = Field(description="A name under `autoencoders`.")
    rescaling: Literal["auto", "range", "first_batch", "standardize", "none"] = Field(
        "auto",
        description="Rescaling of codes before diffusion. range: from their bounds to [-1, 1], as in the paper for key"
        " codes; first_batch: division by the standard deviation of the first batch, as in LDM (section 3.4), after the"
        " center of the bounds is subtracted from bounded codes; auto: range if the family's codes are bounded, else"
        " first_batch; standardize: every channel to mean 0 and standard deviation 1 over the training codes. Sampling"
        " clips bounded codes to their bounds at every step.",
    )
    weights: ImportedWeights = None
    snapshot_of: SnapshotOf = None
    initial_weights: InitialWeights = None
    execution: Execution = Field(Execution(), description="How the training runs.")
    seed: int = Field(0, description="Added to the run's root seed.")

    @model_validator(mode="after")
    def _consistent(self) -> "Diffusion":
        self.execution.check_batch(self.training.batch)
        self.execution.check_without_images()
        check_weights(self.weights, "diffusion", None, self.initial_weights)
        return self

    def architecture(self) -> dict[str, Any]:
        """The keys that determine the network and how it is sampled: what imported weights depend on."""
        architecture = {"unet", "schedule", "beta_range", "timesteps", "prediction"}
        return {key: value for key, value in self.numerical().items() if key in architecture}


class Sampler(Section):
    """How a key code is generated from noise."""

    kind: Literal["ddpm", "ddim", "dpm_solver"] = Field("ddpm", description="DDPM, DDIM or DPM-Solver++.")
    steps: int = Field(1000, ge=1, description="Denoising steps.")
    eta: float = added(0.0, 0.0, "DDIM's noise (Song et al. 2021, equation 16). 0: none; 1: as in DDPM.", ge=0, le=1)

    @model_validator(mode="after")
    def _eta_needs_ddim(self) -> "Sampler":
        if self.eta and self.kind != "ddim":
            raise ValueError(f"eta: only for kind ddim, not {self.kind}")
        return self


class SampleSet(Section):
    """Keys of every sample set. Image i depends only on the seed and i."""

    count: int = Field(50_000, ge=2, description="Number of images.")
    seed: int = Field(0, description="Added to the run's root seed.")
    shard: int = operational(1000, "Images per shard. Each shard is a job.", ge=1)
    micro_batch: int = Field(64, ge=1, description="Images per batch of a network; the last batch is padded.")
    cpu_threads: int = Field(1, ge=1, description="Threads on a CPU.")
    precision: Precision = added(
        "fp32", "fp32", "Precision of the networks that generate and decode, as `execution.precision`."
    )

    @model_validator(mode="after")
    def _few_jobs(self) -> Self:
        check_jobs("shard", self.count, self.shard)
        return self


class DiffusionSamples(SampleSet):
    """Images decoded from the codes of a diffusion model."""

    kind: Literal["diffusion"]
    diffusion: str = Field(description="A name under `diffusions`.")
    sampler: Sampler = Field(Sampler(), description="The sampler.")


class GaussianSamples(SampleSet):
    """Images decoded from samples of a full-covariance Gaussian fitted to the training codes."""

    kind: Literal["gaussian_codes"]
    autoencoder: str = Field(description="A name under `autoencoders`.")


class GeneratorSamples(SampleSet):
    """Images of a generator."""

    kind: Literal["generator"]
    generator: str = Field(description="A name under `generators`.")
    sampler: Sampler = Field(Sampler(), description="The sampler, for a family of diffusion models.")


class RealSamples(SampleSet):
    """Training images: the distance of real images to real images."""

    kind: Literal["real"]
    dataset: str = Field(description="A name under `datasets`.")


class FilesSamples(SampleSet):
    """Images generated by another program, such as StyleGAN2: the first `count` by name."""

    kind: Literal["files"]
    path: Path = Field(description="A folder of images, including its subfolders, or a zip archive.")
    dataset: str = Field(
        description="A name under `datasets`: the dataset that the images imitate, with the same size."
    )
    method: str = Field(description="The method as printed in the paper's tables: `StyleGAN2`, `LDM`, `DDPM`.")


Samples = Annotated[
    DiffusionSamples | GaussianSamples | GeneratorSamples | RealSamples | FilesSamples, Field(discriminator="kind")
]
