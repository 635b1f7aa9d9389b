"""What each kind of job costs: operations, images read and written, bytes that stay on disk.

The work of a job is counted on its models (`operations.py`) and multiplied by how often it is done; a few
seconds of Python and torch come on top, and PNGs. Every number that is not counted is a constant here, and
`ASSUMPTIONS` names them for the reader of an estimate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path

from pipeline.config.autoencoder import AutoencoderSettings
from pipeline.config.diffusion import Diffusion, DiffusionSamples, FilesSamples, GeneratorSamples, RealSamples, Samples
from pipeline.config.families import parse_autoencoder, parse_generator
from pipeline.config.generator import GeneratorSettings
from pipeline.config.jobs import GenerationJob
from pipeline.estimation.families import autoencoder_work, generator_work
from pipeline.estimation.images import ImageCounts, image_counts
from pipeline.estimation.operations import (
    AutoencoderWork,
    Phase,
    UNetWork,
    Work,
    embedding_width,
    feature_network,
    feature_work,
    lpips_work,
)
from pipeline.evaluation.frechet import GROUPS
from pipeline.evaluation.metrics import SERVES
from pipeline.plan.jobs import Job
from pipeline.plan.run import Plan
from pipeline.plan.shards import ranges

FLOAT = 4  # bytes
START_S = 4.0  # Python and its imports, the model, the first batch
READ_S = 30e-9  # of one pixel of a PNG
WRITE_S = 200e-9
RAW_PIXELS = 1e6  # of a raw image in a folder, a zip or an LMDB
PNG_SHARE = 0.6  # of the pixels' bytes
PASS_S = 0.01  # of a network on a GPU, forward or backward, however small
ROOT = 25  # operations of a matrix root, in cubes of its side
PARALLEL = 0.9  # what each further GPU of one training adds
ASSUMPTIONS = (
    f"{START_S:g} s to start a job; a PNG takes {READ_S * 1e9:g} ns a pixel to read, {WRITE_S * 1e9:g} to write and"
    f" {PNG_SHARE:.0%} of its pixels' bytes; a raw image has {RAW_PIXELS / 1e6:g} megapixel",
    f"a pass of a network takes a GPU {PASS_S * 1000:g} ms at least; each further GPU of one training adds"
    f" {PARALLEL:.0%}; waiting for images, previews and queues are not counted",
)
NOTHING = Work()


@dataclass(frozen=True)
class Cost:
    """Of a whole job, all its shards together, on one device."""

    work: Work = NOTHING
    cpu_work: Work = NOTHING
    """Done on the CPU whatever the device."""
    images_s: float = 0.0
    """Reading and writing images, on one core."""
    precision: str = "fp32"
    tf32: bool = True
    passes: float = 0
    """Of whole batches through a network, forward or backward."""
    threads: int = 1
    gpus: int = 1
    steps: int | None = None
    """Of a training."""
    output_bytes: float = 0.0
    state_bytes: float = 0.0
    """Of a training's saved state, which stays until it is pruned."""


class Costs:
    """The costs of a plan's jobs."""

    def __init__(self, plan: Plan):
        self.plan = plan

    @cached_property
    def images(self) -> dict[str, ImageCounts]:
        """The images of each dataset."""
        return {
            name: image_counts(
                name, dataset, self.plan.fingerprint(name), Path(self.plan.dataset(name).path("manifest.json"))
            )
            for name, dataset in self.plan.config.datasets.items()
        }

    def of(self, job: Job) -> Cost:
        """A job's cost; a stage without an entry takes its start alone."""
        count: Callable[[Costs, Job], Cost] | None = STAGE_COSTS.get(job.stage)
        return count(self, job) if count else Cost()

    def _autoencoder(self, settings: AutoencoderSettings) -> AutoencoderWork:
        dataset = self.plan.config.datasets[settings.dataset]
        return autoencoder_work(settings, dataset.resolution, dataset.channels)

    def _unet(self, settings: Diffusion) -> UNetWork:
        return UNetWork(settings.unet, self.plan.config.autoencoders[settings.autoencoder].code_size)

    def _pixels(self, dataset: str) -> int:
        return self.plan.config.datasets[dataset].resolution ** 2

    def _png_bytes(self, dataset: str) -> float:
        return self._pixels(dataset) * self.plan.config.datasets[dataset].channels * PNG_SHARE

    def prepare_dataset(self, job: Job) -> Cost:
        dataset = self.plan.config.datasets[job.label]
        images = self.images[job.label]
        count = images.train + images.validation
        raw = self._pixels(job.label) if dataset.source.kind in ("embedded", "idx") else RAW_PIXELS
        seconds = count * (raw * READ_S + self._pixels(job.label) * WRITE_S)
        return Cost(images_s=seconds, output_bytes=count * self._png_bytes(job.label))

    def train_autoencoder(self, job: Job) -> Cost:
        settings = parse_autoencoder(job.settings["autoencoder"], "autoencoder")
        model, training = self._autoencoder(settings), settings.training
        adversarial = settings.losses.adversarial
        off = training.images if adversarial.kind == "none" else min(adversarial.start_images, training.images)
        critic_only = min(adversarial.critic_only_images, training.images - off)
        phases: dict[Phase, int] = {"off": off, "critic only": critic_only, "on": training.images - off - critic_only}
        return Cost(
            work=sum((model.training(phase) * images for phase, images in phases.items() if images), NOTHING),
            passes=ceil((5 * off + 12 * (training.images - off)) / training.batch),
            precision=settings.execution.precision,
            threads=settings.execution.cpu_threads,
            gpus=max(1, settings.execution.gpus),
            steps=ceil(training.images / training.batch),
            output_bytes=model.trainable * FLOAT,
            # Weights, Adam's two moments, and the average of the autoencoder's.
            state_bytes=(4 * model.trainable + 3 * model.trainable_critic) * FLOAT,
        )

    def train_diffusion(self, job: Job) -> Cost:
        settings = Diffusion.model_validate(job.settings["diffusion"])
        model, training = self._unet(settings), settings.training
        return Cost(
            work=model.training() * (training.steps * training.batch),
            passes=3 * training.steps,
            precision=settings.execution.precision,
            threads=settings.execution.cpu_threads,
            gpus=max(1, settings.execution.gpus),
            steps=training.steps,
            output_bytes=model.trainable * FLOAT,
            state_bytes=4 * model.trainable * FLOAT,
        )

    def train_generator(self, job: Job) -> Cost:
        settings = parse_generator(job.settings["generator"], "generator")
        model, training = self._generator(settings), settings.training
        images = getattr(training, "images", None)
        steps = ceil(images / training.batch) if images is not None else getattr(training, "steps", None)
        trainable = model.trainable if model else 0
        return Cost(
            work=model.training() * ((steps or 0) * training.batch) if model else NOTHING,
            passes=3 * (steps or 0),
            precision=settings.execution.precision,
            threads=settings.execution.cpu_threads,
            gpus=max(1, settings.execution.gpus),
            steps=steps,
            output_bytes=trainable * FLOAT,
            state_bytes=4 * trainable * FLOAT,
        )

    def _generator(self, settings: GeneratorSettings) -> UNetWork | None:
        """A generator's operations, where they are counted."""
        if settings.autoencoder is not None:
            height, width, channels = self.plan.config.autoencoders[settings.autoencoder].code_size
            return generator_work(settings, (channels, height, width))
        dataset = self.plan.config.datasets[settings.dataset or ""]
        return generator_work(settings, (dataset.channels, dataset.resolution, dataset.resolution))

    def dump_codes(self, job: Job) -> Cost:
        settings = self._trained(job)
        count = self.images[settings.dataset].train
        height, width, channels = settings.code_size
        return Cost(
            work=self._autoencoder(settings).encoding() * count,
            images_s=count * self._pixels(settings.dataset) * READ_S,
            threads=job.settings["cpu_threads"],
            output_bytes=count * height * width * channels * FLOAT,
        )

    def _trained(self, job: Job) -> AutoencoderSettings:
        """The settings of the autoencoder that a job uses."""
        (trained,) = (one for one in job.upstream if "autoencoder" in one.settings)  # trained, or imported
        return parse_autoencoder(trained.settings["autoencoder"], "autoencoder")

    def reconstruct(self, job: Job) -> Cost:
        settings = self._trained(job)
        model, dataset = self._autoencoder(settings), settings.dataset
        side = self.plan.config.datasets[dataset].resolution
        count = self.images[dataset].validation
        networks = lpips_work("lpips_alex", side) + lpips_work("lpips_vgg", side)
        return Cost(
            work=(model.encoding() + model.decoding() + networks * 2) * count,
            images_s=count * self._pixels(dataset) * (3 * READ_S + WRITE_S),
            threads=job.settings["cpu_threads"],
            output_bytes=count * self._png_bytes(dataset),
        )

    def generate(self, job: Job) -> Cost:
        samples = _samples(job)
        dataset = self.plan.config.dataset_of(samples)
        images_s = samples.count * self._pixels(dataset) * WRITE_S
        size = samples.count * self._png_bytes(dataset)
        if isinstance(samples, RealSamples | FilesSamples):
            return Cost(images_s=images_s + samples.count * self._pixels(dataset) * READ_S, output_bytes=size)
        work, steps = self._making(samples)
        if any("autoencoder" in one.settings for one in job.upstream):
            work += self._autoencoder(self._trained(job)).decoding()
        batches = sum(ceil((last - first) / samples.micro_batch) for first, last in ranges(job))
        return Cost(
            work=work * (batches * samples.micro_batch),  # the last batch of a shard is padded
            passes=batches * (1 + steps),
            images_s=images_s,
            threads=samples.cpu_threads,
            output_bytes=size,
        )

    def _making(self, samples: Samples) -> tuple[Work, int]:
        """What a diffusion model or generator does for one code or image, and how often it runs for that."""
        model: UNetWork | None
        match samples:
            case DiffusionSamples():
                model = self._unet(self.plan.config.diffusions[samples.diffusion])
            case GeneratorSamples():
                model = self._generator(self.plan.config.generators[samples.generator])
            case _:
                return NOTHING, 0
        return (model.denoising() * samples.sampler.steps, samples.sampler.steps) if model else (NOTHING, 1)

    def extract_features(self, job: Job) -> Cost:
        space = job.settings["space"]
        count, dataset = self._scored(job)
        network = feature_network(space)
        return Cost(
            work=feature_work(space) * count,
            tf32=False,
            images_s=count * self._pixels(dataset) * READ_S,
            threads=job.settings["cpu_threads"],
            output_bytes=count * (network.features + network.logits) * FLOAT,
        )

    def _scored(self, job: Job) -> tuple[int, str]:
        """How many images a job takes the features of, and the dataset that they are of or like."""
        (images,) = job.upstream
        asked = sum(last - first for first, last in ranges(job))
        if images.stage == "generate":
            return asked, self.plan.config.dataset_of(_samples(images))
        dataset = images.label if images.stage == "prepare_dataset" else self._trained(images).dataset
        counts = self.images[dataset]
        return min(asked, counts.train if "train.zip" in str(job.inputs["images"]) else counts.validation), dataset

    def score_features(self, job: Job) -> Cost:
        """Covariances, roots of their product (for the interval too), all distances for precision and recall."""
        space, settings = job.settings["space"], job.settings
        made, seen = (
            min(self._scored(one)[0], settings.get(key) or self._scored(one)[0])
            for one, key in zip(job.upstream, ("count", "reference_count"), strict=True)
        )
        width, serves, operations = feature_network(space).features, SERVES[space], 0.0
        if "frechet_distance" in serves:
            operations += 2 * (made + seen) * width**2 + (1 + 2 * GROUPS) * ROOT * width**3
        if "precision_recall" in serves and settings.get("kind") != "reconstruction_distance":
            operations += 2 * width * (made**2 + seen**2 + 2 * made * seen)
        return Cost(cpu_work=Work(products=operations), threads=settings.get("cpu_threads", 1))

    def nearest_neighbours(self, job: Job) -> Cost:
        """AlexNet on every training image, once for each part of the queries that fits the memory; distances."""
        (images,) = (one for one in job.upstream if one.stage == "generate")
        dataset = self.plan.config.dataset_of(_samples(images))
        side, counts = self.plan.config.datasets[dataset].resolution, self.images[dataset]
        width = embedding_width(side)
        part = max(1, int(job.settings["memory_gb"] * 1e9 / 2 / (FLOAT * width)))
        queries = (job.settings["count"], job.settings.get("validation_count") or counts.validation)
        embedded = sum(count + ceil(count / part) * counts.train for count in queries)
        distances = Work(products=2 * width * sum(queries) * counts.train)
        return Cost(
            work=lpips_work("lpips_alex", side) * embedded + distances,
            tf32=False,
            images_s=embedded * side**2 * READ_S,
            threads=job.settings["cpu_threads"],
        )


STAGE_COSTS: dict[str, Callable[[Costs, Job], Cost]] = {
    "prepare_dataset": Costs.prepare_dataset,
    "train_autoencoder": Costs.train_autoencoder,
    "train_diffusion": Costs.train_diffusion,
    "train_generator": Costs.train_generator,
    "dump_codes": Costs.dump_codes,
    "reconstruct": Costs.reconstruct,
    "generate": Costs.generate,
    "extract_features": Costs.extract_features,
    "score_features": Costs.score_features,
    "nearest_neighbours": Costs.nearest_neighbours,
}


def _samples(job: Job) -> Samples:
    return GenerationJob.model_validate(job.settings).samples
