"""Generative models: latent diffusion on codes and other families; sample sets in shards (section 4)."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

from pydantic import Field

from bright_pipeline.base.errors import InputError
from bright_pipeline.config.root import Config
from bright_pipeline.data.fingerprint import missing_files
from bright_pipeline.data.sources import source_at
from bright_pipeline.engine.jobs import Inputs, Job, Stage, Use, spans
from bright_pipeline.engine.run import Needed
from bright_pipeline.families import AnyGenerator, generator_family
from bright_pipeline.settings import diffusion as kinds
from bright_pipeline.settings.fields import Section, operational
from bright_pipeline.settings.generator import GeneratorSettings
from bright_pipeline.stages import autoencoders
from bright_pipeline.stages.common import Jobs, trained
from bright_pipeline.stages.datasets import dataset, image_size, png_bytes, split_count
from bright_pipeline.stages.measurements import EXPLORE_CODES, codes, with_autoencoder


class DiffusionJob(Section):
    diffusion: kinds.Diffusion
    seed: int = 0
    initial_sha256: str | None = operational(None, autoencoders.PLANNED_WEIGHTS)


class GeneratorJob(Section):
    generator: AnyGenerator
    seed: int = 0


class GenerationJob(Section):
    """Make the images [first, last) of a sample set."""

    samples: kinds.Samples
    seed: int = 0
    resolution: int | None = Field(None, description="Resolution of the dataset that files imitate and must have.")
    channels: Literal[1, 3] = Field(3, description="Channels of that dataset; files are read as gray (1) or RGB (3).")
    sha256: str | None = operational(None, "The fingerprint of the files; the stage ends if they differ.")


def too_few_files(job: Job, needed: Needed) -> Iterator[str]:
    """A line if the files of a sample set are missing, or if a dataset has too few images for it."""
    name = job.entry.partition(".")[2]
    match job.jobs.config.samples[name]:
        case kinds.FilesSamples(path=path):
            if line := missing_files(source_at(path), f"samples.{name}"):
                yield line
        case kinds.RealSamples() as real if (most := split_count(job.jobs, real.dataset, "train")) < real.count:
            yield f"{job.entry}.count: must be at most {most}, the training images of its dataset"


_training = partial(Stage, gpu=True, memory_mb=24_000, uses=autoencoders.training_use, message="Training")
TRAIN_DIFFUSION = _training(
    "train_diffusion", "diffusions", DiffusionJob, trained("diffusion"), problems=autoencoders.missing_initial_weights
)
TRAIN_GENERATOR = _training("train_generator", "generators", GeneratorJob, trained("generator"))


def size_of_samples(job: Job, images: int) -> int:
    """Bytes of so many images, at most."""
    config = job.jobs.config
    return images * png_bytes(job, config.dataset_of(config.samples[job.entry.partition(".")[2].partition(" ")[0]]))


def sampling_uses(job: Job, images: int) -> Iterator[Use]:
    """The denoising steps or passes of a model, and the decoder."""
    config, name = job.jobs.config, job.entry.partition(".")[2]
    settings, decoder = config.samples[name], model_of(job.jobs, name)
    how = settings.micro_batch, job.settings["samples"]["precision"]
    if (model := denoiser(config, settings)) is not None:
        steps = settings.sampler.steps if isinstance(model, kinds.Denoising) else 1
        yield Use("denoise", model, images * steps, *how)
    if decoder is not None:
        yield Use("decode", config.autoencoders[decoder], images, *how)


GENERATE = Stage(
    "generate",
    "samples",
    GenerationJob,
    {"images": "images-{first}-{last}.zip"},
    gpu=True,
    memory_mb=8000,
    shown=lambda jobs: jobs(sample_sets),
    problems=too_few_files,
    size=size_of_samples,
    uses=sampling_uses,
    message="Generating",
)


def diffusion(jobs: Jobs, name: str) -> Job:
    """The job that trains a diffusion model, imports its weights, or takes them from another training."""
    settings = jobs.config.diffusions[name]
    model = jobs.config.autoencoders[settings.autoencoder]
    if (ready := autoencoders.ready_weights(jobs, diffusion, name, {"code_size": str(model.code_size)})) is not None:
        return ready
    initial, facts, planned = autoencoders.initial_weights(jobs, diffusion, name)
    inputs = _codes_of(jobs, settings.autoencoder)
    if settings.splits != "train":
        inputs["validation_codes"] = jobs(codes, settings.autoencoder, "validation")["codes.safetensors"]
    return jobs.job(
        TRAIN_DIFFUSION,
        f"diffusions.{name}",
        {"diffusion": settings, "seed": jobs.seed(settings.seed, "diffusion"), **planned},
        inputs=inputs | initial,
        facts=facts,
        code=autoencoders.family_code(model),
    )


def _codes_of(jobs: Jobs, name: str) -> Inputs:
    """The codes of the training split, and the autoencoder that decodes samples."""
    return {
        "codes": jobs(codes, name)["codes.safetensors"],
        "autoencoder": jobs(autoencoders.autoencoder, name)["autoencoder.safetensors"],
    }


def generator(jobs: Jobs, name: str) -> Job:
    """The job that trains a generator, imports its weights, or takes them from another training."""
    settings = jobs.config.generators[name]
    family = generator_family(settings.family)
    size = image_size(jobs.config, settings.dataset) if settings.dataset else {}
    if (ready := autoencoders.ready_weights(jobs, generator, name, size)) is not None:
        return ready
    code = (*autoencoders.family_code(settings), family.task.partition(":")[0])
    if settings.autoencoder is not None:  # it decodes samples
        code += autoencoders.family_code(jobs.config.autoencoders[settings.autoencoder])
    if family.reads == "images":
        inputs: Inputs = {"images": jobs(dataset, settings.dataset or "")["train.zip"]}
    else:
        inputs = _codes_of(jobs, settings.autoencoder or "")
    return jobs.job(
        TRAIN_GENERATOR,
        f"generators.{name}",
        {"generator": settings, "seed": jobs.seed(settings.seed, "generator")},
        inputs=inputs,
        code=code,
    )


def samples(jobs: Jobs, name: str) -> Job:
    """The job that makes a sample set. Image i depends on (seed, i) alone, so the count is not in the digest."""
    settings = jobs.config.samples[name]
    if isinstance(settings, kinds.FilesSamples):
        return jobs(files, name)
    config, decoder = jobs.config, model_of(jobs, name)
    decoding: Inputs = (
        {} if decoder is None else {"autoencoder": jobs(autoencoders.autoencoder, decoder)["autoencoder.safetensors"]}
    )
    code = () if decoder is None else autoencoders.family_code(config.autoencoders[decoder])
    match settings:
        case kinds.DiffusionSamples():
            inputs = {**decoding, "diffusion": jobs(diffusion, settings.diffusion)["diffusion.safetensors"]}
        case kinds.GeneratorSamples():
            inputs = {"generator": jobs(generator, settings.generator)["generator.safetensors"], **decoding}
            code = (*autoencoders.family_code(config.generators[settings.generator]), *code)
        case kinds.GaussianSamples():
            inputs = {"codes": jobs(codes, settings.autoencoder)["codes.safetensors"], **decoding}
        case _:
            inputs = {"train": jobs(dataset, settings.dataset)["train.zip"]}
    # Its precision is by default 16 bits where its model trains in them, else fp32.
    learned = "fp32" if (model := denoiser(config, settings)) is None else model.execution.precision
    precision = settings.precision or (learned if learned in ("bf16", "fp16") else "fp32")
    settings = settings.model_copy(update={"precision": precision})
    values = {"samples": settings, "seed": sample_seed(jobs, settings)}
    numerical = GenerationJob.model_validate(values).numerical()
    del numerical["samples"]["count"]
    ranges = spans(settings.count, settings.shard)
    return jobs.job(GENERATE, f"samples.{name}", values, numerical, inputs=inputs, ranges=ranges, code=code)


def denoiser(config: Config, settings: kinds.Samples) -> kinds.Diffusion | GeneratorSettings | None:
    """The trained model that draws a sample set."""
    if isinstance(settings, kinds.DiffusionSamples):
        return config.diffusions[settings.diffusion]
    return config.generators[settings.generator] if isinstance(settings, kinds.GeneratorSamples) else None


def exploration(jobs: Jobs, name: str, sampled: str | None) -> Job:
    """The job that shows the contents of codes and tables; `sampled`: the sample set whose codes the page can show."""
    if not jobs.config.figures.explorer:
        return with_autoencoder(jobs, EXPLORE_CODES, name, codes=0)
    settings: dict[str, Any] = {}
    inputs: Inputs = {"statistics": jobs(codes, name)["statistics.json"]}
    decoder, wanted = explorer_models(jobs, name, sampled)
    if wanted is not None:
        settings = {"sampler": wanted.sampler, "seed": sample_seed(jobs, wanted)}
        inputs["diffusion"] = jobs(diffusion, wanted.diffusion)["diffusion.safetensors"]
    if decoder != name:
        inputs["decoder"] = jobs(autoencoders.autoencoder, decoder)["autoencoder.safetensors"]
    return with_autoencoder(jobs, EXPLORE_CODES, name, inputs=inputs, **settings)


def explorer_models(jobs: Jobs, name: str, sampled: str | None) -> tuple[str, kinds.DiffusionSamples | None]:
    """The autoencoder that decodes in the explorer, and the samples it shows: those of the same encoder's codes."""
    wanted, encoder_of = jobs.config.samples.get(sampled or ""), jobs.config.encoder_of
    if not isinstance(wanted, kinds.DiffusionSamples):
        return name, None
    decoder = jobs.config.autoencoder_of(wanted) or name
    return (decoder, wanted) if encoder_of(decoder) == encoder_of(name) else (name, None)


def sample_sets(jobs: Jobs) -> list[Job]:
    """The sample sets of all rows of tables, with every training seed."""
    names = jobs.config.tables_or_default.sample_sets
    return [of_seed(samples, name) for _, of_seed in jobs.every_seed for name in names]


def sample_seed(jobs: Jobs, settings: kinds.Samples) -> int:
    """The seed of a sample set; images from files have none, so that several training seeds share them."""
    return 0 if isinstance(settings, kinds.FilesSamples) else jobs.seed(settings.seed, "samples")


def files(jobs: Jobs, name: str) -> Job:
    """The job that copies images from files into shards; its digest depends on their content."""
    settings: Any = jobs.config.samples[name]
    facts = jobs.fingerprints.collection(source_at(settings.path), f"samples.{name}")
    most = facts.get("images", {}).get("all", settings.count)
    if most < settings.count:
        raise InputError(f"samples.{name}.count: at most {most}, the images in {settings.path}, not {settings.count}")
    size = image_size(jobs.config, settings.dataset)
    return jobs.job(
        GENERATE,
        f"samples.{name}",
        {"samples": settings, "sha256": facts.get("sha256")} | size,
        {"kind": settings.kind, "source": facts.get("sha256", facts)} | size,
        ranges=spans(settings.count, settings.shard),
    )


def model_of(jobs: Jobs, name: str) -> str | None:
    """The autoencoder behind a sample set; None for real images and for models of pixels."""
    return jobs.config.autoencoder_of(jobs.config.samples[name])
