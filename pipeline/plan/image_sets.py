"""The jobs that score an image set against another, whatever made them, outside any config.

Their results lie in the store as those of a run do: features are taken once for each set and space, and what
is there is not made again.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.config.dataset import FolderSource, ZipSource
from pipeline.config.evaluation import Evaluation
from pipeline.data.fingerprint import fingerprint
from pipeline.data.listing import raw_files
from pipeline.models.metric_networks.manifest import network_digest, network_path
from pipeline.models.metric_networks.spaces import network_of
from pipeline.plan.build import read_accepted
from pipeline.plan.jobs import Job, range_files


@dataclass(frozen=True)
class ImageSet:
    """The first `count` images in a folder or a zip, known by the sha256 of all its files."""

    path: Path
    count: int

    @property
    def name(self) -> str:
        """A file name for what is made of it."""
        return re.sub(r"[^A-Za-z0-9_.]+", "_", self.path.stem) or "images"

    @cached_property
    def sha256(self) -> str:
        """Taken anew each time: another program may write other images under the names of the last ones."""
        kind: Any = {"kind": "folder" if self.path.is_dir() else "zip", "path": self.path}
        source = FolderSource(**kind) if self.path.is_dir() else ZipSource(**kind)
        return fingerprint(raw_files(source, str(self.path)), str(self.path)).sha256


def features_job(images: ImageSet, space: str, evaluation: Evaluation, networks: Path) -> Job:
    """The features of an image set in one space, in ranges."""
    network = network_of(space)
    settings = {"space": space, "micro_batch": evaluation.micro_batch, "cpu_threads": evaluation.cpu_threads}
    return Job(
        "extract_features",
        f"{images.name}-{space.replace('_', '-')}",
        settings,
        settings | {"images": images.sha256, "sha256": network_digest(network)},
        inputs={"images": str(images.path), "weights": str(network_path(network, networks))},
        files=range_files("features", images.count, evaluation.shard, ".npz"),
        accepted=read_accepted(),
    )


def score_job(names: dict[str, Any], generated: Job, reference: Job, evaluation: Evaluation) -> Job:
    """The metrics of one set of features against another; `names` are the settings that say what they are of."""
    numerical = names | {"space": generated.settings["space"], "sample_kind": "files"}
    return Job(
        "score_features",
        f"files-{generated.settings['space'].replace('_', '-')}",
        numerical | {"memory_gb": evaluation.memory_gb},
        numerical,
        inputs={"generated": generated.outputs, "reference": reference.outputs},
        upstream=(generated, reference),
        accepted=read_accepted(),
    )
