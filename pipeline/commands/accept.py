"""Accept existing results after a change of the code that is known to change no number (promise 1).

A folder of the store is named by a digest of, among others, the code that can change its numbers. A change
that keeps every number (a renamed variable, a faster way to the same sum) changes the digest too. This
command looks for results that differ from the wanted ones in the code alone, and records in
results/accepted_code.json that they count: {"STAGE DIGEST OF THE CODE NOW": "DIGEST OF THE CODE THEN"}.
The file can be committed; without it (or a line of it), those results are made again.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.atomic import write_json
from pipeline.base.command import run_stage
from pipeline.config.root import Config
from pipeline.plan.build import ACCEPTED
from pipeline.plan.identities import known_code
from pipeline.plan.jobs import Job
from pipeline.plan.run import Plan, read_config
from pipeline.plan.stages import STAGES


def accept(
    config: Annotated[Path, typer.Argument(help="The run's config file.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be accepted, change nothing.")] = False,
) -> None:
    """Let existing results count after a change of the code that is known to change no number."""
    settings = read_config(config)
    accepted: dict[str, str] = {}
    for key, code, line in acceptances(settings):
        accepted[key] = code
        print(line)
    if not accepted:
        print("nothing to accept: no results differ from the wanted ones in the code alone")
    elif dry_run:
        print("dry run: nothing was recorded")
    else:
        write_json(ACCEPTED, dict(Plan(settings).accepted) | accepted)
        print(f"recorded in {ACCEPTED}")


def acceptances(config: Config) -> Iterator[tuple[str, str, str]]:
    """What to accept, stage by stage in the order data flows: key, code digest, and a line that tells of it."""
    plan = Plan(config)
    for stage in STAGES:
        # Jobs of one stage have the code of their models' families besides the stage's own.
        for key in sorted({job.code_key for job in plan.jobs.values() if job.stage == stage}):
            jobs = [job for job in plan.jobs.values() if job.code_key == key]
            best = best_code(jobs)
            if best is None:
                continue
            found = sum(_with_code(job, best).complete for job in jobs)
            yield key, best, f"{stage}: {found} of {len(jobs)} results accepted (code {best[:8]})"
            # Digests of the stages after this one change with it, so that their old results can be found.
            plan = Plan(config, accepted=tuple(sorted({**dict(plan.accepted), key: best}.items())))


def best_code(jobs: list[Job]) -> str | None:
    """The known code with which most of a stage's jobs are done; None where it is that of now."""
    if not jobs:
        return None
    now = sum(job.complete for job in jobs)
    counts = {code: sum(_with_code(job, code).complete for job in jobs) for code in known_code(jobs[0].stage)}
    best = max(counts, key=lambda code: counts[code], default=None)
    return best if best is not None and counts[best] > now else None


def _with_code(job: Job, code: str) -> Job:
    """The job as it would be with another digest of the code."""
    return dataclasses.replace(job, accepted=(*job.accepted, (job.code_key, code)))


if __name__ == "__main__":
    run_stage(accept)
