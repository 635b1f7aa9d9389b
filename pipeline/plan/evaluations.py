"""The jobs that measure: features of image sets, their scores, distances of reconstructions, neighbours."""

from functools import cache
from typing import Any

from pipeline.config.dataset import Dataset
from pipeline.config.diffusion import DiffusionSamples, FilesSamples, GaussianSamples, GeneratorSamples, Samples
from pipeline.data.kept_fingerprints import split_counts
from pipeline.families import autoencoder_family, generator_family
from pipeline.models.metric_networks.manifest import available, fetchable, missing_line, network_digest
from pipeline.models.metric_networks.spaces import DISTANCE_NETWORKS, network_of, spaces_of
from pipeline.models.traits import printed_code_size
from pipeline.plan.build import NETWORKS, Jobs
from pipeline.plan.jobs import Job, range_files

RELEASED_LDM = "LDM*"  # Table 5's row of the released checkpoint
UNKNOWN = 10**9  # images of a split whose raw images nobody has counted: they are one range


class EvaluationJobs(Jobs):
    """The jobs of the metrics of a config, each made once."""

    def spaces(self, network: str) -> tuple[str, ...]:
        """The feature spaces of a network's metrics."""
        return spaces_of(network, self.config.evaluation.precision_recall)

    def _features(self, images: Job, files: list[str], count: int, space: str, of: str) -> Job:
        """Features of the first `count` images in these files, in ranges; image i's depend on image i alone."""
        evaluation, network = self.config.evaluation, network_of(space)
        settings = {
            "space": space,
            "micro_batch": evaluation.micro_batch,
            "cpu_threads": evaluation.cpu_threads,
        }
        return self._job(
            "extract_features",
            f"{of}-{space.replace('_', '-')}",
            settings,
            settings | {"of": of, "sha256": network_digest(network)},
            inputs={"images": files, "weights": self.network(network)},
            upstream=(images,),
            files=range_files("features", count, count if count == UNKNOWN else evaluation.shard, ".npz"),
        )

    @cache  # noqa: B019 - one object lives as long as the process
    def sample_features(self, name: str, space: str) -> Job:
        images = self.samples(name)
        return self._features(images, images.outputs, self.config.samples[name].count, space, images.label)

    def split_count(self, dataset: str, split: str) -> int:
        """At most how many images a split has."""
        return split_counts(self.fingerprint(dataset), self.config.datasets[dataset]).get(split, UNKNOWN)

    @cache  # noqa: B019
    def split_features(self, dataset: str, split: str, space: str, count: int | None = None) -> Job:
        """Features of a split's first `count` images, of all for None."""
        images, most = self.dataset(dataset), self.split_count(dataset, split)
        count = most if count is None else min(count, most)
        return self._features(images, [images.path(f"{split}.zip")], count, space, f"{dataset}-{split}")

    @cache  # noqa: B019
    def evaluation(self, name: str, space: str, count: int) -> Job:
        """The metrics of a sample set's first `count` images in one space."""
        samples, evaluation = self.config.samples[name], self.config.evaluation
        dataset = self.config.dataset_of(samples)
        generated = self.sample_features(name, space)
        settings = {
            "sample_kind": samples.kind,
            "method": self._method(samples),
            "count": count,
            "reference": evaluation.reference,
            "reference_count": evaluation.reference_count,
            "seed": self._sample_seed(samples),
        }
        needed = generated.outputs[: -(-count // evaluation.shard)]
        reference = self.split_features(dataset, evaluation.reference, space, evaluation.reference_count)
        return self._score(samples.kind, dataset, space, settings, (generated, needed), reference)

    def _method(self, samples: Samples) -> str:
        """Who made a sample set, as the tables print it."""
        match samples:
            case DiffusionSamples():
                diffusion = self.config.diffusions[samples.diffusion]
                if diffusion.weights is not None:
                    return RELEASED_LDM
                family = self.config.autoencoders[diffusion.autoencoder].family
                return "BRIGHT (LDM)" if family == "bright" else "LDM"
            case GeneratorSamples():
                return generator_family(self.config.generators[samples.generator].family).method
            case FilesSamples():
                return samples.method
            case GaussianSamples():
                return "Gaussian codes"
            case _:
                return "Real images"

    @cache  # noqa: B019
    def reconstruction_distance(self, name: str, space: str) -> Job:
        """rFID: the distance of an autoencoder's reconstructions of the validation split to that split."""
        model = self.config.autoencoders[name]
        dataset, made = model.dataset, self.reconstruction(name)
        generated = self._features(
            made,
            [made.path("reconstructions.zip")],
            self.split_count(dataset, "validation"),
            space,
            f"reconstructions-{made.label}",
        )
        settings = {
            "kind": "reconstruction_distance",
            "sample_kind": "reconstruction",
            "method": autoencoder_family(model.family).method,
            "code_size": printed_code_size(model),
            "reference": "validation",
        }
        reference = self.split_features(dataset, "validation", space)
        return self._score("reconstruction", dataset, space, settings, (generated, generated.outputs), reference)

    def _score(
        self,
        label: str,
        dataset: str,
        space: str,
        settings: dict[str, Any],
        generated: tuple[Job, list[str]],
        reference: Job,
    ) -> Job:
        numerical = settings | {
            "dataset": dataset,
            "space": space,
            "prepared": prepared(self.config.datasets[dataset]),
        }
        return self._job(
            "score_features",
            f"{label}-{space}".replace("_", "-"),
            numerical | {"memory_gb": self.config.evaluation.memory_gb},
            numerical,
            inputs={"generated": generated[1], "reference": reference.outputs},
            upstream=(generated[0], reference),
        )

    @cache  # noqa: B019
    def neighbours(self, name: str) -> Job:
        """The nearest training images of a sample set's first images."""
        samples, evaluation = self.samples(name), self.config.evaluation
        data = self.dataset(self.config.dataset_of(self.config.samples[name]))
        numerical = evaluation.neighbours.model_dump(mode="json") | {"cpu_threads": evaluation.cpu_threads}
        needed = samples.outputs[: -(-evaluation.neighbours.count // self.config.samples[name].shard)]
        inputs: dict[str, Any] = {
            "generated": needed,
            "train": data.path("train.zip"),
            "validation": data.path("validation.zip"),
            "weights": self.network("lpips_alex"),
        }
        return self._job(
            "nearest_neighbours",
            samples.label,
            numerical | {"memory_gb": evaluation.memory_gb},
            numerical | {"sha256": network_digest("lpips_alex")},
            inputs=inputs,
            upstream=(samples, data),
        )

    def usable(self, network: str, names: list[str], count: int | None) -> bool:
        """Whether a network's metrics can be had: its weights are here, can be fetched, or all results exist."""
        jobs = [
            self.evaluation(name, space, count or self.config.samples[name].count)
            for name in names
            for space in self.spaces(network)
        ]
        return self._usable(network, jobs)

    def distance_spaces(self, models: list[str]) -> list[str]:
        """The spaces that reconstructions' distances can be had in."""
        found: list[str] = []
        for network in self.config.evaluation.networks:
            if network in DISTANCE_NETWORKS:
                spaces = self.spaces(network)
                jobs = [self.reconstruction_distance(name, space) for name in models for space in spaces]
                found += spaces if self._usable(network, jobs) else ()
        return found

    def _usable(self, network: str, jobs: list[Job]) -> bool:
        if available(network, NETWORKS) or fetchable(network):
            return True
        return bool(jobs) and all(self.at_hand(job) for job in jobs)

    @staticmethod
    def missing(network: str) -> str:
        """One line: what a missing network costs and which file to put where."""
        return missing_line(network, NETWORKS)


def prepared(dataset: Dataset) -> str:
    """How a dataset's images got their size, for the protocol: FID moves by a point with the filter alone."""
    crop = {"center": "center crop", "none": "uncropped", "pad": "padded with black, unscaled"}[dataset.crop]
    resize = "" if dataset.crop == "pad" else f", Pillow {dataset.filter}"
    return f"{crop}{resize}, to {dataset.resolution}"
