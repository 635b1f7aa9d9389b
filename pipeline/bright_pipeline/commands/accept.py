"""Accept existing results after a change, of the code or of a config key, that is known to change no number.

Results that differ from the required ones in the code alone, or in the given keys, are recorded in
results/accepted.json. Without that file, or one of its lines, they are computed again. With --dry-run nothing is
recorded, and the lines are shown in which the code differs from the copy that made the results (results/code).
"""

from collections.abc import Iterator
from typing import Annotated

import typer

from bright_pipeline.engine.command import ConfigArgument
from bright_pipeline.base.errors import InputError
from bright_pipeline.config.root import read_config
from bright_pipeline.data.fingerprint import Fingerprints
from bright_pipeline.engine.atomic import write_json
from bright_pipeline.engine.code_copy import difference, edited_modules
from bright_pipeline.engine.damage import code_of, recorded_of
from bright_pipeline.engine.jobs import Job, digest_of, planned
from bright_pipeline.engine.store import ACCEPTED, Accepted, identity_path, read_accepted
from bright_pipeline.plan.edited import earlier
from bright_pipeline.stages import all_stages
from bright_pipeline.stages.common import Jobs


def accept(
    config: ConfigArgument,
    keys: Annotated[list[str] | None, typer.Option("--key", help="A harmless key, such as training.batch.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what was edited.")] = False,
) -> None:
    """Accept existing results after a change of the code, or of these keys, that is known to change no number."""
    settings, accepted, fingerprints = read_config(config), read_accepted(), Fingerprints()  # raw images are read once
    new: dict[str, Accepted] = {}
    shown: set[tuple[str, str]] = set()
    jobs = Jobs(settings, accepted=accepted, fingerprints=fingerprints)
    for stage in all_stages():  # in the order data flows
        recorded, results = recorded_of(stage), list[tuple[Job, str]]()
        # An acceptance changes the digests of everything downstream: of later stages, and of jobs of this stage that
        # read other jobs of it, such as the table of claims. Repeat until no further result matches.
        while True:
            stage_jobs = [job for job in jobs(planned).values() if job.stage.name == stage]
            matches = {
                job: then
                for job in stage_jobs
                if not job.complete and (then := earlier(job, recorded, tuple(keys or ())))
            }
            if not matches:
                break
            new |= {
                f"{stage} {digest_of(job.identity)}": Accepted(then, tuple(keys or ())) for job, then in matches.items()
            }
            results += matches.items()
            jobs = Jobs(settings, accepted=accepted | new, fingerprints=fingerprints)
        if results:
            print(f"{stage}: {len(results)} of {len(stage_jobs)} results accepted")
            if dry_run:
                print(*changes(results, shown), sep="\n")
    if not new:
        changed = f"the code or in {', '.join(keys)}" if keys else "the code"
        print(f"nothing to accept: no results differ from the wanted ones in {changed} alone")
    elif dry_run:
        print("dry run: nothing was recorded")
    else:
        write_json(ACCEPTED, {job: result.entry for job, result in (accepted | new).items()})
        print(f"recorded in {ACCEPTED}")


def changes(results: list[tuple[Job, str]], shown: set[tuple[str, str]]) -> Iterator[str]:
    """Lines on the code that has changed since these results of a stage were made.

    shown: copies and modules whose differences earlier lines have; these are added.
    """
    for job, digest in results:
        made = code_of(job.stage.name, digest)
        if "modules" not in made:
            yield f"  {job.name}: {identity_path(job.stage.name, digest)} does not say which modules made it"
            continue
        copy = made.get("copy", "none")
        for module in edited_modules(made, job.code_roots):
            if (copy, module) not in shown:
                shown.add((copy, module))
                try:
                    yield from difference(copy, module)
                except InputError as error:
                    yield f"  {module} differs; {error}"
