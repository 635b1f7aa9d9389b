"""The jobs behind a run's numbers: datasets, models, samples."""

import hashlib
import json
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pipeline.base.errors import InputError
from pipeline.base.seeds import seed_for
from pipeline.config.autoencoder import AutoencoderSettings
from pipeline.config.diffusion import DiffusionSamples, FilesSamples, GaussianSamples, GeneratorSamples, Samples
from pipeline.config.generator import GeneratorSettings
from pipeline.config.root import Config
from pipeline.data.kept_fingerprints import Fingerprints
from pipeline.data.sources import source_at
from pipeline.families import autoencoder_family, find_family, generator_family
from pipeline.models.metric_networks.manifest import PERCEPTUAL_NETWORKS, network_digest, network_path
from pipeline.plan.jobs import Job, range_files

NETWORKS = Path("results/networks")
ACCEPTED = Path("results/accepted_code.json")


def read_accepted() -> tuple[tuple[str, str], ...]:
    """Code digests whose results were accepted after a harmless change (see `bright accept`)."""
    if not ACCEPTED.exists():
        return ()
    return tuple(sorted(json.loads(ACCEPTED.read_text(encoding="utf-8")).items()))


def file_digest(path: Path) -> str:
    """The sha256 of a small file; "absent" where it is not there, as for a dry run elsewhere."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"


def is_complete(job: Job) -> bool:
    """Whether a job's results are here."""
    return job.complete


class Jobs:
    """The jobs of the models and samples of a config, each made once."""

    def __init__(
        self,
        config: Config,
        accepted: tuple[tuple[str, str], ...] | None = None,
        at_hand: Callable[[Job], bool] = is_complete,
        fingerprints: Fingerprints | None = None,
    ):
        self.config = config
        self.accepted = read_accepted() if accepted is None else accepted
        self.fingerprints = fingerprints or Fingerprints()
        self.at_hand = at_hand  # which results need no network to be had

    def _job(self, stage: str, label: str, settings: Any, numerical: Any, **rest: Any) -> Job:
        return Job(stage, label, settings, numerical, accepted=self.accepted, **rest)

    def _seed(self, extra: int, *names: str) -> int:
        return seed_for(self.config.seed, *names, extra)

    @cache  # noqa: B019 - one object lives as long as the process
    def fingerprint(self, name: str) -> dict[str, Any]:
        """What is known of a dataset's raw images."""
        dataset = self.config.datasets[name]
        return self.fingerprints.collection(dataset.source, f"datasets.{name}.source", dataset.split.list)

    @cache  # noqa: B019
    def dataset(self, name: str) -> Job:
        dataset, facts = self.config.datasets[name], self.fingerprint(name)
        settings = dataset.model_dump(mode="json") | {"name": name}
        numerical = dataset.numerical() | {"name": name, "source": facts.get("sha256", facts)}
        if dataset.split.list is not None:
            numerical["list"] = facts["list"]
        return self._job("prepare_dataset", name, settings, numerical)

    @cache  # noqa: B019
    def autoencoder(self, name: str) -> Job:
        model = self.config.autoencoders[name]
        if model.weights is not None:
            label, size = self._label(model), self._image_size(model.dataset)
            return self._imported("autoencoder", name, label, model.architecture(), size)
        data = self.dataset(model.dataset)
        seed = self._seed(model.seed, "autoencoder")
        settings = {"autoencoder": model.model_dump(mode="json"), "seed": seed}
        numerical = {"autoencoder": model.numerical(), "seed": seed}
        inputs: dict[str, Any] = {"images": data.path("train.zip")}
        kind = model.losses.perceptual.network
        if kind != "none":
            inputs["perceptual"] = self.network(PERCEPTUAL_NETWORKS[kind])
            numerical["perceptual"] = network_digest(PERCEPTUAL_NETWORKS[kind])
        return self._job(
            "train_autoencoder",
            self._label(model),
            settings,
            numerical,
            inputs=inputs,
            upstream=(data,),
            modules=self._modules(model),
        )

    def _imported(self, sort: str, name: str, label: str, architecture: dict[str, Any], size: dict[str, Any]) -> Job:
        """The import of an entry's checkpoint in place of its training; architecture: the keys that it depends on."""
        entry = getattr(self.config, f"{sort}s")[name]
        facts = self.fingerprints.checkpoint(entry.weights, f"{sort}s.{name}.weights")
        checkpoint = {"kind": entry.weights.kind, "checkpoint": facts.get("sha256", facts)}
        return self._job(
            "import_weights",
            label,
            {sort: entry.model_dump(mode="json")} | size,
            {sort: {key: value for key, value in architecture.items() if key != "dataset"}} | checkpoint | size,
            files=(f"{sort}.safetensors",),
            modules=() if sort == "diffusion" else find_family(entry.family).code,
        )

    def _image_size(self, dataset: str) -> dict[str, Any]:
        """Of a dataset's images, as an import is told it."""
        images = self.config.datasets[dataset]
        return {"resolution": images.resolution, "channels": images.channels}

    @staticmethod
    def _label(model: AutoencoderSettings) -> str:
        return f"{model.family.replace('.', '-')}-{model.code_size}"

    @staticmethod
    def _modules(model: AutoencoderSettings) -> tuple[str, ...]:
        return autoencoder_family(model.family).code

    @staticmethod
    def network(name: str) -> str:
        return str(network_path(name, NETWORKS))

    def _encoding(self, model: AutoencoderSettings) -> dict[str, Any]:
        evaluation = self.config.evaluation
        return {"micro_batch": evaluation.micro_batch, "cpu_threads": model.execution.cpu_threads}

    def _on_images(
        self, stage: str, name: str, split: str, settings: Any, numerical: Any, *further: Job, **inputs: str
    ) -> Job:
        """A job that reads a split's images and a trained autoencoder; `further` jobs make some of its other inputs."""
        model = self.config.autoencoders[name]
        data, trained = self.dataset(model.dataset), self.autoencoder(name)
        read = {"images": data.path(f"{split}.zip"), "autoencoder": trained.path("autoencoder.safetensors")}
        return self._job(
            stage,
            self._label(model),
            settings,
            numerical,
            inputs=read | inputs,
            upstream=(data, trained, *further),
            modules=self._modules(model),
        )

    @cache  # noqa: B019
    def reconstruction(self, name: str) -> Job:
        model = self.config.autoencoders[name]
        settings = self._encoding(model) | {"autoencoder": model.model_dump(mode="json")}
        digests = {key: network_digest(key) for key in ("lpips_alex", "lpips_vgg")}
        networks = {key: self.network(key) for key in digests}
        return self._on_images("reconstruct", name, "validation", settings, self._encoding(model) | digests, **networks)

    @cache  # noqa: B019
    def codes(self, name: str) -> Job:
        settings = self._encoding(self.config.autoencoders[name])
        return self._on_images("dump_codes", name, "train", settings, settings)

    @cache  # noqa: B019
    def exploration(self, name: str) -> Job:
        settings = {"cpu_threads": self.config.autoencoders[name].execution.cpu_threads}
        return self._on_images("explore_codes", name, "validation", settings, settings)

    @cache  # noqa: B019
    def diffusion(self, name: str) -> Job:
        diffusion = self.config.diffusions[name]
        code_size = self.config.autoencoders[diffusion.autoencoder].code_size
        if diffusion.weights is not None:
            size = {"code_size": str(code_size)}
            return self._imported("diffusion", name, f"ldm-{code_size}", diffusion.architecture(), size)
        codes, trained = self.codes(diffusion.autoencoder), self.autoencoder(diffusion.autoencoder)
        seed = self._seed(diffusion.seed, "diffusion")
        # The autoencoder's name in the config is a name, not a number.
        numerical = {key: value for key, value in diffusion.numerical().items() if key != "autoencoder"}
        inputs: dict[str, Any] = {
            "codes": codes.path("codes.safetensors"),
            "autoencoder": trained.path("autoencoder.safetensors"),
        }
        return self._job(
            "train_diffusion",
            f"ldm-{code_size}",
            {"diffusion": diffusion.model_dump(mode="json"), "seed": seed},
            {"diffusion": numerical, "seed": seed},
            inputs=inputs,
            upstream=(codes, trained),
            modules=self._modules(self.config.autoencoders[diffusion.autoencoder]),
        )

    @cache  # noqa: B019
    def generator(self, name: str) -> Job:
        generator = self.config.generators[name]
        family = generator_family(generator.family)
        if generator.weights is not None:
            label, size = generator.family.replace(".", "-"), self._image_size(generator.dataset or "")
            return self._imported("generator", name, label, generator.architecture(), size)
        seed = self._seed(generator.seed, "generator")
        # Names in the config are names, not numbers.
        names = ("autoencoder", "dataset")
        numerical = {key: value for key, value in generator.numerical().items() if key not in names}
        inputs, upstream, modules = self._training_data(generator, family.reads)
        return self._job(
            "train_generator",
            generator.family.replace(".", "-"),
            {"generator": generator.model_dump(mode="json"), "seed": seed},
            {"generator": numerical, "seed": seed},
            inputs=inputs,
            upstream=upstream,
            modules=(*family.training_code, *modules),
        )

    def _training_data(
        self, generator: GeneratorSettings, reads: str
    ) -> tuple[dict[str, Any], tuple[Job, ...], tuple[str, ...]]:
        """What a generator is trained on: paths, the jobs that make them, modules of the autoencoder's family."""
        if reads == "images":
            data = self.dataset(generator.dataset or "")
            return {"images": data.path("train.zip")}, (data,), ()
        name = generator.autoencoder or ""
        codes, trained = self.codes(name), self.autoencoder(name)
        inputs = {
            "codes": codes.path("codes.safetensors"),
            "autoencoder": trained.path("autoencoder.safetensors"),
        }
        return inputs, (codes, trained), self._modules(self.config.autoencoders[name])

    @cache  # noqa: B019
    def samples(self, name: str) -> Job:
        samples = self.config.samples[name]
        if isinstance(samples, FilesSamples):
            return self._files(name, samples)
        seed = self._sample_seed(samples)
        # Image i depends on (seed, i) alone: how many there are, and in which shards, changes none of them.
        names = ("count", "diffusion", "autoencoder", "dataset", "generator")
        numerical = {key: value for key, value in samples.numerical().items() if key not in names}
        inputs, upstream, modules = self._sample_inputs(samples)
        files = range_files("images", samples.count, samples.shard, ".zip")
        return self._job(
            "generate",
            samples.kind.replace("_", "-"),
            {"samples": samples.model_dump(mode="json"), "seed": seed},
            {"samples": numerical, "seed": seed},
            inputs=inputs,
            upstream=upstream,
            files=files,
            modules=modules,
        )

    def _sample_seed(self, samples: Samples) -> int:
        """Images from elsewhere know no seed: with several training seeds they come once."""
        return 0 if isinstance(samples, FilesSamples) else self._seed(samples.seed, "samples")

    def _files(self, name: str, samples: FilesSamples) -> Job:
        """Images from elsewhere, as shards; their content decides."""
        facts = self.fingerprints.collection(source_at(samples.path), f"samples.{name}")
        there = facts.get("images", {}).get("all", samples.count)
        if there < samples.count:
            raise InputError(
                f"samples.{name}.count: at most {there}, the images in {samples.path}, not {samples.count}"
            )
        dataset = self.config.datasets[samples.dataset]
        size = {"resolution": dataset.resolution, "channels": dataset.channels}
        return self._job(
            "generate",
            "files",
            {"samples": samples.model_dump(mode="json")} | size,
            {"kind": samples.kind, "source": facts.get("sha256", facts)} | size,
            files=range_files("images", samples.count, samples.shard, ".zip"),
        )

    def _sample_inputs(self, samples: Samples) -> tuple[dict[str, Any], tuple[Job, ...], tuple[str, ...]]:
        """Paths by option, the jobs that make them, modules of the families that are needed."""
        match samples:
            case DiffusionSamples():
                name = self.config.diffusions[samples.diffusion].autoencoder
                trained = self.autoencoder(name)
                diffusion = self.diffusion(samples.diffusion)
                inputs = {
                    "autoencoder": trained.path("autoencoder.safetensors"),
                    "diffusion": diffusion.path("diffusion.safetensors"),
                }
                return inputs, (trained, diffusion), self._modules(self.config.autoencoders[name])
            case GeneratorSamples():
                return self._generator_inputs(samples.generator)
            case GaussianSamples():
                trained, codes = self.autoencoder(samples.autoencoder), self.codes(samples.autoencoder)
                inputs = {
                    "autoencoder": trained.path("autoencoder.safetensors"),
                    "codes": codes.path("codes.safetensors"),
                }
                return inputs, (trained, codes), self._modules(self.config.autoencoders[samples.autoencoder])
            case _:
                data = self.dataset(samples.dataset)
                return {"train": data.path("train.zip")}, (data,), ()

    def _generator_inputs(self, name: str) -> tuple[dict[str, Any], tuple[Job, ...], tuple[str, ...]]:
        settings, trained = self.config.generators[name], self.generator(name)
        family = generator_family(settings.family)
        inputs: dict[str, Any] = {"generator": trained.path("generator.safetensors")}
        if family.reads == "images":
            return inputs, (trained,), family.code
        model = settings.autoencoder or ""
        decoder = self.autoencoder(model)
        inputs["autoencoder"] = decoder.path("autoencoder.safetensors")
        return inputs, (trained, decoder), (*family.code, *self._modules(self.config.autoencoders[model]))

    def complexity(self, model: AutoencoderSettings, resolution: int, channels: int) -> Job:
        settings = {"autoencoder": model.architecture(), "resolution": resolution, "channels": channels}
        counts = autoencoder_family(model.family).counts.partition(":")[0]
        return self._job("complexity", self._label(model), settings, settings, modules=(counts,))

    @cache  # noqa: B019
    def code_measurement(self, name: str) -> Job:
        model, codes = self.config.autoencoders[name], self.codes(name)
        measured = {"images": self.config.evaluation.noise_images, "seed": self._seed(0, "code noise")}
        return self._on_images(
            "measure_codes",
            name,
            "validation",
            self._encoding(model) | measured | {"autoencoder": model.model_dump(mode="json")},
            self._encoding(model) | measured | {"lpips_alex": network_digest("lpips_alex")},
            codes,
            codes=codes.path("codes.safetensors"),
            hits=codes.path("hits.npz"),
            lpips_alex=self.network("lpips_alex"),
        )

    @cache  # noqa: B019
    def decoding(self, names: tuple[str, ...]) -> Job:
        """Decoded images per second of these autoencoders, in turns; nothing is trained for it."""
        evaluation, models = self.config.evaluation, [self.config.autoencoders[name] for name in names]
        settings = evaluation.decoding.model_dump(mode="json") | {
            "cpu_threads": evaluation.cpu_threads,
            "models": {
                name: {
                    "autoencoder": model.architecture(),
                    "resolution": self.config.datasets[model.dataset].resolution,
                    "channels": self.config.datasets[model.dataset].channels,
                }
                for name, model in zip(names, models, strict=True)
            },
        }
        modules = tuple(dict.fromkeys(module for model in models for module in self._modules(model)))
        return self._job("measure_decoding", "decoding", settings, settings, modules=modules)

    @cached_property
    def published(self) -> str:
        """The digest of the published numbers."""
        folder = Path(__file__).parents[2] / "config" / "published"
        text = "".join(path.name + path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.csv")))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def claimed(self) -> str:
        """The digest of the claims of the paper's text."""
        return file_digest(Path(__file__).parents[2] / "config" / "published" / "claims.yaml")
