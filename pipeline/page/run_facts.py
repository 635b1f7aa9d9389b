"""The facts about a run: datasets, trainings, costs of its jobs, and versions and networks behind its results."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.base.checksums import result_libraries
from pipeline.base.parsing import read_json
from pipeline.base.records import State, read_record
from pipeline.base.summary import read_summary
from pipeline.figures.curves import NOT_LOSSES, read_history
from pipeline.models.metric_networks.manifest import is_unchecked, manifest
from pipeline.stages.page import JobRow


class Cost(NamedTuple):
    """The jobs of a stage: sums of elapsed and of CPU seconds, and the largest memory in bytes."""

    stage: str
    jobs: int
    recorded: int
    seconds: float
    cpu_seconds: float | None
    memory: float | None


class Training(NamedTuple):
    """The last line of a training's history."""

    name: str
    steps: int
    images: int
    seconds: float
    losses: dict[str, float]


@dataclass
class Provenance:
    """Versions and networks behind the results; several values where results differ."""

    versions: dict[str, dict[str, list[str]]] = field(default_factory=dict)  # library -> version -> names of results
    networks: dict[str, str] = field(default_factory=dict)  # network -> sha256


def read_trainings(histories: dict[str, Path]) -> list[Training]:
    """One for each history, in the order given."""
    trainings = []
    for name, path in histories.items():
        frame = read_history(path)
        last = frame.iloc[-1]
        losses = {str(column): float(last[column]) for column in frame if column not in NOT_LOSSES}
        losses = {column: value for column, value in losses.items() if value == value}
        trainings.append(Training(name, int(last["step"]), int(last["images"]), float(last["seconds"]), losses))
    return trainings


def gather_costs(jobs: Iterable[JobRow], records: Path, trainings: list[Training]) -> list[Cost]:
    """The cost of each stage, the most expensive first; a stage without records is skipped.

    Results pulled from elsewhere have no records here.
    """
    by_stage: dict[str, list[JobRow]] = {}
    for job in jobs:
        by_stage.setdefault(job.stage, []).append(job)
    costs = []
    for stage, rows in by_stage.items():
        kind = stage.removeprefix("train_")
        times = [training.seconds for training in trainings if training.name.startswith(f"{kind} ")]
        if times:  # a history has the seconds of every attempt
            costs.append(Cost(stage, len(rows), len(times), sum(times), None, None))
            continue
        finished, recorded = [], 0
        for job in rows:  # a job has one record, or one for each shard
            found = [read_record(path) for path in sorted(records.glob(f"{stage}-{job.name}*.json"))]
            done = [record for record in found if record.get("state") == State.DONE and "cpu_seconds" in record]
            finished += done
            recorded += bool(done)
        if finished:
            seconds, cpu_seconds = (sum(record[key] for record in finished) for key in ("seconds", "cpu_seconds"))
            memory = max(record["peak_mb"] for record in finished) * 2**20
            costs.append(Cost(stage, len(rows), recorded, seconds, cpu_seconds, memory))
    return sorted(costs, key=lambda cost: -cost.seconds)


def read_dataset(name: str, path: Path) -> dict[str, Any]:
    """The facts about a prepared dataset, from its manifest."""
    facts = read_json(path, f"manifest {path}")
    return {
        "name": name,
        "licence": facts.get("license") or "not stated",
        "source": ", ".join(f"{key} {value}" for key, value in facts["source"].items() if value is not None),
        "resolution": facts["resolution"],
        "channels": facts["channels"],
        "train": facts["train"]["count"],
        "validation": facts["validation"]["count"],
        "sha256": {split: facts[split]["sha256"] for split in ("train", "validation")},
    }


def gather_provenance(summaries: list[Path], results: Iterable[Path]) -> Provenance:
    """The versions and networks of all summaries, and the versions recorded in the folders of results."""
    found = Provenance()
    libraries = [(folder.name, versions) for folder in results for versions in result_libraries(folder)]
    for path in summaries:
        protocol = read_summary(path).protocol
        libraries.append((path.parent.name, protocol.get("versions", {})))
        for key, sha256 in protocol.items():
            network = protocol["network"] if key == "network_sha256" else key.removesuffix("_sha256")
            if key == "network_sha256" or network in manifest():
                found.networks[network] = f"{sha256} (hash not checked)" if is_unchecked(network) else sha256
    for result, versions in libraries:
        for library, version in versions.items():
            names = found.versions.setdefault(library, {}).setdefault(version, [])
            names += [result] * (result not in names)
    return found
