"""Shared by the contracts: all jobs of a config, and the files that several stages have in common."""

from collections.abc import Sequence
from functools import cached_property

from bright_pipeline.base.paths import NETWORKS
from bright_pipeline.base.seeds import seed_for
from bright_pipeline.config.root import Config
from bright_pipeline.data.fingerprint import Fingerprints
from bright_pipeline.engine import jobs as engine
from bright_pipeline.engine.jobs import Job
from bright_pipeline.engine.store import Accepted, Store
from bright_pipeline.models.metric_networks.manifest import available, fetchable, network_path
from bright_pipeline.stages import all_stages

FLOAT32 = 4  # bytes of a number in codes, features and weights
CORES_PER_GPU = 4  # to read, decode and resize the images of one GPU's process; --set-threads overrides it


class Jobs(engine.Jobs):
    """The jobs of a config.

    With several training seeds, these are the jobs of the first seed; `other_seeds` has the jobs of the others.
    """

    def __init__(
        self,
        config: Config,
        accepted: dict[str, Accepted] | None = None,
        every_network: bool = False,
        fingerprints: Fingerprints | None = None,
        store: Store | None = None,
        suffix: str = "",
    ):
        super().__init__(all_stages(), config.run, accepted, store, suffix)
        self.user_config = config  # `config` has the first training seed added to its seeds
        self.config = config.with_training_seed(config.training_seeds[0])
        self.every_network = every_network
        """Whether metrics are planned even if the weights of their network are missing."""
        self.fingerprints = fingerprints or Fingerprints()

    @cached_property
    def other_seeds(self) -> "dict[int, Jobs]":
        """The same jobs for each of the other training seeds."""
        seeds = self.user_config.training_seeds[1:]
        return {seed: self.derive(self.user_config.with_training_seed(seed), f"-seed{seed}") for seed in seeds}

    def derive(self, config: Config, suffix: str = "") -> "Jobs":
        """The jobs of another config, whose seeds are used as they are, with the same knowledge of the store."""
        one_seed = config.model_copy(update={"training_seeds": [0]})
        return Jobs(one_seed, self.accepted, self.every_network, self.fingerprints, self.store, suffix)

    @property
    def every_seed(self) -> "list[tuple[int | None, Jobs]]":
        """The jobs of the first training seed (as None: it has no name) and of the others."""
        return [(None, self), *self.other_seeds.items()]

    def seed(self, extra: int, *names: str) -> int:
        """The seed of a stage: from the root seed, these names and the entry's own seed."""
        return seed_for(self.config.seed, *names, extra)


def trained(model: str) -> dict[str, str]:
    return {"weights": f"{model}.safetensors", "history": f"{model}.history.csv", "preview": f"{model}.preview.png"}


def network(name: str) -> str:
    return str(network_path(name, NETWORKS))


def is_network_available(jobs: Jobs, name: str, results: Sequence[Job]) -> bool:
    """Whether a network's weights are present or can be fetched, or all these results, which need it, exist."""
    if jobs.every_network or available(name, NETWORKS) or fetchable(name):
        return True
    return bool(results) and all(job.complete for job in results)
