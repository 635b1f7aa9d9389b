"""What has to be made: upstream of what is there, nothing is needed (promise 1).

Completeness is asked of the files in question: a lost preview or a lost shard concerns who reads it, and nobody else.
"""

from collections.abc import Iterable

from pipeline.plan.parts import Part, part_of
from pipeline.plan.planned import targets
from pipeline.plan.run import outputs_of
from pipeline.stages.common import Job, Jobs, Output

Key = tuple[str, str]


class Needed:
    """The parts that a run has to make for its targets, and why a job that is complete is made again."""

    def __init__(self, wanted: Iterable[Output], forced: Iterable[Key] = ()):
        self.forced = set(forced)
        self._again: dict[Key, bool] = {}
        self.parts: dict[tuple[str, str, tuple[int, int] | None], Part] = {}
        waiting = list(wanted)
        while waiting:
            output = waiting.pop()
            part = part_of(output)
            if part.key not in self.parts and (not output.job.has(output.file) or self.again(output.job)):
                self.parts[part.key] = part
                waiting += [one for sources in part.inputs.values() for one in sources if isinstance(one, Output)]

    def again(self, job: Job) -> bool:
        """Whether a job is made again because the user asked for it or for what it stands on."""
        if not self.forced:
            return False
        if job.key not in self._again:
            self._again[job.key] = job.key in self.forced or any(self.again(one) for one in job.upstream)
        return self._again[job.key]

    def among(self, parts: Iterable[Part]) -> "Needed":
        """The same of these parts alone: what Snakemake will make of it."""
        found = Needed((), self.forced)
        found.parts = {part.key: part for part in parts}
        return found

    def __contains__(self, part: Part) -> bool:
        return part.key in self.parts

    @property
    def jobs(self) -> list[Job]:
        """The jobs that have a part among them."""
        return list({part.job.key: part.job for part in self.parts.values()}.values())


def unfinished(jobs: Jobs) -> Needed:
    """What a run of everything has to make."""
    return Needed(outputs_of(jobs(targets)))
