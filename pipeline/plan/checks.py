"""What would stop a run's jobs, known before the first of them starts: raw images, checkpoints, networks, models."""

from collections.abc import Iterable
from pathlib import Path

from pipeline.base.paths import NETWORKS
from pipeline.data.fingerprint import missing_checkpoint, missing_list, missing_source
from pipeline.data.sources import source_at
from pipeline.models.metric_networks.files import network_state
from pipeline.plan.dvc import recorded_origin
from pipeline.plan.run import Needed
from pipeline.plan.states import saved_step
from pipeline.settings.diffusion import FilesSamples
from pipeline.settings.weights import OwnWeights
from pipeline.stages.autoencoders import IMPORT_WEIGHTS, TAKE_SNAPSHOT, missing_snapshot
from pipeline.stages.common import Job, Jobs, path_of
from pipeline.stages.datasets import PREPARE_DATASET
from pipeline.stages.generation import GENERATE
from pipeline.stages.tables import MAKE_TABLE


def networks_needed(made: Iterable[Job]) -> list[str]:
    """The networks that these jobs read, sorted."""
    paths = [Path(path_of(source)) for job in made for sources in job.inputs.values() for source in sources]
    return sorted({path.stem for path in paths if path.parent == NETWORKS})


def obstacles(jobs: Jobs, needed: Needed, folder: Path = NETWORKS) -> list[str]:
    """What would stop a run, a line each. Reads the network files that it needs, and no image."""
    made = needed.jobs
    found = lost_models(needed)
    found += sorted(line for job in made if (line := _missing_source(job)) is not None)
    found += sorted(line for job in made if (line := _lost_snapshot(job, needed)) is not None)
    states = [network_state(name, folder) for name in networks_needed(made)]
    return found + [state.line for state in states if state.status in ("wrong", "missing")]


def _missing_source(job: Job) -> str | None:
    """A line where the raw images, or the weights, that a job reads are not there."""
    section, _, name = job.entry.partition(".")
    if job.stage is PREPARE_DATASET:
        data, where = job.jobs.config.datasets[name], f"datasets.{name}"
        absent = missing_source(data.source, f"{where}.source")
        listed = data.split.list
        return absent or (missing_list(listed, f"{where}.source") if listed is not None else None)
    if job.stage is GENERATE and isinstance(settings := job.jobs.config.samples[name], FilesSamples):
        return missing_source(source_at(settings.path), f"samples.{name}")
    if job.stage is IMPORT_WEIGHTS:
        return missing_checkpoint(getattr(job.jobs.config, section)[name].weights, f"{job.entry}.weights")
    if job.is_training and isinstance(path := next(iter(job.inputs.get("initial", ())), None), str):
        return missing_checkpoint(OwnWeights(path=path), f"{job.entry}.initial_weights")
    return None


def _lost_snapshot(job: Job, needed: Needed) -> str | None:
    """A line where a training that is done, or further than that, left no such snapshot."""
    if job.stage is not TAKE_SNAPSHOT or (path := Path(job.settings["snapshot"])).exists():
        return None
    (training,) = job.upstream
    if training.key in {one.key for one in needed.jobs}:
        begins_again = needed.again(training) or saved_step(training) < job.settings["step"]
        return None if begins_again else f"{job.entry}: {missing_snapshot(path)}"
    return f"{job.entry}: {missing_snapshot(path)}"


def lost_models(needed: Needed) -> list[str]:
    """A line for each training that would be done again though it was done before: for a file that was lost.

    Either the training's own weights are here, or some of what was made with them. Nobody wants days of training for
    a lost curve or a lost shard: the file is pulled, or the training asked for by name.
    """
    lines = []
    for shard in needed.shards.values():
        job = shard.job
        if job.is_training and not needed.again(job) and job.has(job.stage.outputs["weights"]):
            lost = ", ".join(file for file in job.files if not job.has(file))
            lines.append(
                f"{job.entry}: {lost} is missing in {job.folder}, while its weights are here: bring it back"
                f" (dvc pull {job.folder}), or train again: snakemake --forcerun {job.stage.name}"
            )
    for shard in needed.shards.values():
        here = [file for file in shard.job.files if shard.job.has(file)]
        if here and not shard.job.is_training and not needed.again(shard.job):
            lines += [
                f"{shard.job.entry}: {shard.files[0]} is missing in {shard.job.folder}, and making it takes"
                f" {model.entry}, which is not here: bring it back (dvc pull {model.folder}), or train it again:"
                f" snakemake --forcerun {model.stage.name}"
                for model in trainings_behind(needed, shard.job)
            ]
    return list(dict.fromkeys(lines))


def trainings_behind(needed: Needed, job: Job) -> list[Job]:
    """The trainings that a run has to do for a job, without those that the user asked for or that were damaged."""
    found: dict[tuple[str, str], Job] = {}
    made = {one.key for one in needed.jobs}
    waiting = list(job.upstream)
    while waiting:
        one = waiting.pop()
        if one.key in made and one.key not in found and not needed.again(one):
            found[one.key] = one
            waiting += one.upstream
    return [one for one in found.values() if one.is_training and one.key not in needed.asked]


def left_out(made: Iterable[Job]) -> list[str]:
    """A line for each network that is missing, with the metrics that the tables among these jobs lack for it."""
    return sorted({line for job in made if job.stage is MAKE_TABLE for line in job.settings["missing"]})


def claimed_run(jobs: Jobs, config: str) -> str | None:
    """A line where another config, which is still there, has this run's name."""
    known = recorded_origin(jobs)
    if known is None or known == config or not Path(known).exists():
        return None
    return (
        f"run: results/{jobs.config.run} is the run of {known}, not of {config}; give one of them another name"
        f" (or remove results/{jobs.config.run}/config.yaml)"
    )
