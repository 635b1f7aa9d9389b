"""Accept existing results after a change that is known to change no number: of the code, or of a config key.

A folder of the store is named by a digest of, among others, the code that can change its numbers and the keys that can.
A change that keeps every number (a renamed variable, a faster way to the same sum, a key that says the same in other
words) changes the digest too. This command looks for results that differ from the wanted ones in the code alone, or in
the keys that it is told, and records in results/accepted.json that they count: {"STAGE DIGEST NOW": "DIGEST THEN"}.
The file can be committed; without it (or a line of it), those results are made again.
"""

from typing import Annotated, Any

import typer

from pipeline.base.atomic import write_json
from pipeline.base.command import ConfigArgument, run_stage
from pipeline.config.root import Config, read_config
from pipeline.data.fingerprint import Fingerprints
from pipeline.plan.identities import recorded_of
from pipeline.plan.shards import planned
from pipeline.stages import all_stages
from pipeline.stages.common import ACCEPTED, Job, Jobs, digest_of, read_accepted


def accept(
    config: ConfigArgument,
    keys: Annotated[
        list[str] | None,
        typer.Option("--key", help="A key whose change is harmless, such as training.batch or autoencoder.tables."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be accepted, change nothing.")] = False,
) -> None:
    """Let existing results count after a change of the code, or of these keys, that is known to change no number."""
    found = acceptances(read_config(config), tuple(keys or ()))
    if not found:
        what = f"the code or in {', '.join(keys)}" if keys else "the code"
        print(f"nothing to accept: no results differ from the wanted ones in {what} alone")
    elif dry_run:
        print("dry run: nothing was recorded")
    else:
        write_json(ACCEPTED, read_accepted() | found)
        print(f"recorded in {ACCEPTED}")


def acceptances(config: Config, keys: tuple[str, ...] = ()) -> dict[str, str]:
    """What to accept, stage by stage in the order data flows; prints a line for each stage."""
    accepted, fingerprints = read_accepted(), Fingerprints()  # the raw images are looked at once
    found: dict[str, str] = {}
    for stage in all_stages():
        here, taken = recorded_of(stage), 0
        # Digests of what stands on new ones change with them, so that the old results can be found: those of the
        # stages after this one, and those of this one that stand on others of it, as the table of claims on tables.
        while True:
            jobs = Jobs(config, accepted=accepted | found, fingerprints=fingerprints)
            of_stage = [job for job in jobs(planned).values() if job.stage.name == stage]
            new = {job: then for job in of_stage if not job.complete and (then := earlier(job, here, keys)) is not None}
            if not new:
                break
            found |= {f"{stage} {digest_of(job.identity)}": then for job, then in new.items()}
            taken += len(new)
        if taken:
            print(f"{stage}: {taken} of {len(of_stage)} results accepted")
    return found


def earlier(job: Job, here: dict[str, dict[str, Any]], keys: tuple[str, ...]) -> str | None:
    """The digest of a finished result that differs from the job in the code and in these keys alone."""
    wanted = without(job.identity, keys)
    for digest, identity in here.items():
        name = job.jobs.store.name(job.stage.folder, job.label, digest)
        there = job.jobs.store.files(job.folder.with_name(name))
        if without(identity, keys) == wanted and there.issuperset(job.files):
            return digest
    return None


def without(identity: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """An identity without its code, and without these keys of its settings, wherever they stand there."""
    places = [tuple(key.split(".")) for key in keys]

    def pruned(value: Any, place: tuple[str, ...]) -> Any:
        if not isinstance(value, dict):
            return value
        kept = [name for name in value if not any((*place, name)[-len(one) :] == one for one in places)]
        return {name: pruned(value[name], (*place, name)) for name in kept}

    apart = {name: part for name, part in identity.items() if name != "code"}
    return apart | {"settings": pruned(identity["settings"], ())}


if __name__ == "__main__":
    run_stage(accept)
