"""Config of latent diffusion on key codes, and of sample sets (section 4, appendix A.2)."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.settings.execution import Execution, Precision
from pipeline.settings.fields import Counts, Section, added, check_parts, operational
from pipeline.settings.weights import ImportedWeights, InitialWeights, SnapshotOf, check_weights

Schedule = Literal["squaredcos_cap_v2", "linear", "scaled_linear"]
Prediction = Literal["noise", "velocity"]


class UNet(Section):
    """diffusers' UNet2DModel."""

    channels: int = Field(256, ge=1, description="Unit channels.")
    multipliers: Counts = Field([1, 2, 3, 4], description="Channel multipliers per level.")
    blocks: int = Field(2, ge=1, description="Residual blocks per level.")
    attention_resolutions: Counts = Field([32, 16, 8], description="Code resolutions with attention.")
    head_width: int | None = Field(8, ge=1, description="Channels of an attention head; null: one head has all.")
    norm_groups: int = Field(32, ge=1, description="Groups of GroupNorm.")
    variant: Literal["ldm", "ddpm"] = Field(
        "ldm",
        description="Details that differ between LDM's UNet and DDPM's: order and frequencies of the time embedding,"
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
    learning_rate: float = Field(8e-4, gt=0, description="As printed; the authors' code has 8e-5.")
    warmup_steps: int = Field(10_000, ge=0, description="Linear warm-up.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Adam's.")
    ema_decay: float = Field(0.9999, ge=0, lt=1, description="Of the averaged weights, per step.")
    decay: Literal["none", "cosine"] = added(
        "cosine", "cosine", "Of the learning rate after the warm-up: to zero at the last step, or none."
    )
    min_snr_gamma: float | None = Field(
        5.0, gt=0, description="min-SNR weighting; null: every timestep weighs the same, as in DDPM and LDM."
    )
    gradient_clip: float = Field(1.0, gt=0, description="Largest gradient norm.")


class Denoising(Section):
    """What is learned: to tell noise from a code or an image, at every timestep of a schedule."""

    unet: UNet = Field(UNet(), description="The network.")
    schedule: Schedule = Field(
        "squaredcos_cap_v2", description="Cosine; linear: DDPM's; scaled_linear: LDM's, linear in the square root."
    )
    beta_range: tuple[float, float] = Field(
        (1e-4, 0.02),
        description="First and last variance of the linear schedules; LDM's of FFHQ: 0.0015, 0.0195.",
    )
    timesteps: int = Field(1000, ge=2, description="Training timesteps.")
    prediction: Prediction = Field(
        "noise",
        description="What the network predicts. noise: as the paper has it; velocity: of Salimans and Ho (2022), which"
        " learned better in short trainings here.",
    )
    training: DiffusionTraining = Field(DiffusionTraining(), description="Optimization.")


class Diffusion(Denoising):
    """A diffusion model on the codes of one autoencoder."""

    autoencoder: str = Field(description="A name under `autoencoders`.")
    rescaling: Literal["auto", "range", "first_batch", "standardize", "none"] = Field(
        "auto",
        description="Of codes before diffusion. range: their bounds to [-1, 1], for key codes, as the paper has it;"
        " first_batch: divided by the standard deviation of the first batch, as LDM does (section 3.4), where they have"
        " bounds about the middle of those; auto: range where the family's codes are bounded, else first_batch;"
        " standardize: every channel to mean 0 and standard deviation 1 over the training codes. Codes with bounds are"
        " clipped to them at every step of sampling.",
    )
    weights: ImportedWeights = None
    snapshot_of: SnapshotOf = None
    initial_weights: InitialWeights = None
    execution: Execution = Field(Execution(), description="How it runs.")
    seed: int = Field(0, description="Added to the run's root seed, for further training seeds.")

    @model_validator(mode="after")
    def _shared_evenly(self) -> "Diffusion":
        self.execution.check_batch(self.training.batch)
        self.execution.check_without_images()
        check_weights(self.weights, "diffusion", None, self.initial_weights)
        return self

    def architecture(self) -> dict[str, Any]:
        """The keys that a network with weights from elsewhere depends on."""
        of_network = {"unet", "schedule", "beta_range", "timesteps", "prediction"}
        return {key: value for key, value in self.numerical().items() if key in of_network}


class Sampler(Section):
    """How noise becomes a key code."""

    kind: Literal["ddpm", "ddim", "dpm_solver"] = Field("ddpm", description="DDPM, DDIM or DPM-Solver++.")
    steps: int = Field(1000, ge=1, description="Denoising steps.")
    eta: float = added(0.0, 0.0, "DDIM's noise (Song et al. 2021, equation 16): 0 has none, 1 has DDPM's.", ge=0, le=1)

    @model_validator(mode="after")
    def _of_ddim(self) -> "Sampler":
        if self.eta and self.kind != "ddim":
            raise ValueError(f"eta: of kind ddim alone, not of {self.kind}")
        return self


class SampleSet(Section):
    """What all sample sets share. Image i depends on the seed and i alone."""

    count: int = Field(50_000, ge=2, description="How many images.")
    seed: int = Field(0, description="Added to the run's root seed.")
    shard: int = operational(1000, "Images per shard; each shard is a job.", ge=1)
    micro_batch: int = Field(64, ge=1, description="Images a network sees at once, the last batch padded.")
    cpu_threads: int = Field(1, ge=1, description="Threads on a CPU.")
    precision: Precision = added("fp32", "fp32", "Of the networks that make and decode them, as `execution.precision`.")

    @model_validator(mode="after")
    def _in_so_many_jobs(self) -> Self:
        check_parts("shard", self.count, self.shard)
        return self


class DiffusionSamples(SampleSet):
    """Images decoded from codes that a diffusion model made."""

    kind: Literal["diffusion"]
    diffusion: str = Field(description="A name under `diffusions`.")
    sampler: Sampler = Field(Sampler(), description="The sampler.")


class GaussianSamples(SampleSet):
    """Images decoded from codes drawn from a full-covariance Gaussian fit to the training codes."""

    kind: Literal["gaussian_codes"]
    autoencoder: str = Field(description="A name under `autoencoders`.")


class GeneratorSamples(SampleSet):
    """Images of a generator."""

    kind: Literal["generator"]
    generator: str = Field(description="A name under `generators`.")
    sampler: Sampler = Field(Sampler(), description="The sampler, of a family that denoises.")


class RealSamples(SampleSet):
    """Training images themselves: the real-against-real floor of a distance."""

    kind: Literal["real"]
    dataset: str = Field(description="A name under `datasets`.")


class FilesSamples(SampleSet):
    """Images that another program made, such as StyleGAN2's: the first `count` in the order of their names."""

    kind: Literal["files"]
    path: Path = Field(description="A folder of images, searched with its sub-folders, or a zip archive.")
    dataset: str = Field(description="A name under `datasets`: what they imitate, at its size.")
    method: str = Field(description="What made them, as the paper's tables print it: `StyleGAN2`, `LDM`, `DDPM`.")


Samples = Annotated[
    DiffusionSamples | GaussianSamples | GeneratorSamples | RealSamples | FilesSamples, Field(discriminator="kind")
]
