"""The jobs that the command line names, by digest, rule or file, and the shards that have to be made for them.

Nothing upstream of an existing result is needed (promise 1): a missing file is made again only for a pending job.
"""

from collections.abc import Iterable
from pathlib import Path

from bright_pipeline.base.errors import InputError
from bright_pipeline.engine.damage import moved_away
from bright_pipeline.engine.jobs import Job, Jobs, Output, planned, targets
from bright_pipeline.engine.shards import Shard, shard_of, view

Key = tuple[str, str]


def by_digest(jobs: Jobs) -> dict[str, Job]:
    """The planned jobs by digest, which covers the name of the stage."""
    return {job.digest: job for job in jobs(planned).values()}


def find_job(jobs: Jobs, digest: str) -> Job:
    """The job whose folder ends with this digest; InputError if this config has none."""
    if (job := jobs(by_digest).get(digest)) is None:
        others = "another config or to older code (`bright prune --help` tells how to remove those)"
        raise InputError(f"digest {digest} is of no job of this config; its results belong to {others}")
    return job


def outputs_of(jobs: Iterable[Job]) -> list[Output]:
    return [job[file] for job in jobs for file in job.files]


def wanted(jobs: Jobs, names: Iterable[str]) -> list[Output]:
    """The outputs that Snakemake's targets name, by rule or file; all for no target, and for an unknown one."""
    outputs: list[Output] = []
    for name in list(names) or ["all"]:
        if name in jobs(target_jobs):
            outputs += outputs_of(jobs(target_jobs)[name])
        elif (output := output_of(jobs, name)) is not None:
            outputs.append(output)
        else:
            outputs += jobs(everything)
    return outputs


def target_jobs(jobs: Jobs) -> dict[str, list[Job]]:
    """The jobs that each target of Snakemake names."""
    return {name: of_target for stage in jobs.stages.values() for name, of_target in stage.targets(jobs).items()}


def everything(jobs: Jobs) -> list[Output]:
    """The outputs of a run without targets; also damaged ones that only existing results have read."""
    return [*outputs_of(jobs(targets)), *moved_away(jobs)]


def output_of(jobs: Jobs, path: str) -> Output | None:
    """The output with this path in the store or in results/RUN; None if there is none."""
    parts = Path(path).parts
    if path in jobs(view) or len(parts) < 3:
        return jobs(view).get(path)
    job = jobs(by_digest).get(parts[-2].rsplit("-", 1)[-1])
    return job[parts[-1]] if job is not None and job.stage.folder == parts[-3] else None


def forced(jobs: Jobs, names: Iterable[str]) -> set[Key]:
    """The jobs that --forcerun and similar options name, by rule or by a file of the store."""
    keys: set[Key] = set()
    for name in names:
        keys |= {key for key in jobs(planned) if key[0] == name}
        if name not in jobs(view) and (output := output_of(jobs, name)) is not None:
            keys.add(output.job.key)
    return keys


class Needed:
    """The shards that a run has to make for its targets, and the jobs that it makes again."""

    def __init__(self, wanted: Iterable[Output], forced: Iterable[Key] = ()):
        self.forced = set(forced)
        waiting = list(wanted)
        self.asked = {output.job.key for output in waiting}  # the jobs of the targets
        self._is_rerun: dict[Key, bool] = {}
        self.shards: dict[tuple[str, str, tuple[int, int] | None], Shard] = {}
        while waiting:
            output = waiting.pop()
            shard = shard_of(output)
            if shard.key not in self.shards and (not output.job.has(output.file) or self.is_rerun(output.job)):
                self.shards[shard.key] = shard
                waiting += [source for source in shard.sources if isinstance(source, Output)]

    def is_rerun(self, job: Job) -> bool:
        """Whether a job is made again since the user forced it or a job upstream of it."""
        if self.forced and job.key not in self._is_rerun:
            self._is_rerun[job.key] = job.key in self.forced or any(map(self.is_rerun, job.upstream))
        return self._is_rerun.get(job.key, False)

    def among(self, shards: Iterable[Shard]) -> "Needed":
        """The same with these shards only, those that Snakemake will make."""
        needed = Needed((), self.forced)
        needed.asked = self.asked
        needed.shards = {shard.key: shard for shard in shards}
        return needed

    def __contains__(self, shard: Shard) -> bool:
        return shard.key in self.shards

    @property
    def jobs(self) -> list[Job]:
        return list({shard.job.key: shard.job for shard in self.shards.values()}.values())


def unfinished(jobs: Jobs) -> Needed:
    """The shards that a run of everything has to make."""
    return Needed(jobs(everything))
