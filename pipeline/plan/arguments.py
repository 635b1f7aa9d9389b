"""The command line of each job, derived from its contract.

Linux limits a shell's command to 131,072 bytes, too few for a table of hundreds of rows. Long settings and long lists
of inputs are therefore files in the job's folder of results/work, written when a run starts.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from pipeline.base.atomic import write_text
from pipeline.base.code import expected_code
from pipeline.base.errors import InputError
from pipeline.plan.shards import Shard, ordered, shards
from pipeline.stages.common import Job, Jobs, path_of

SETTINGS, INPUTS = "settings.json", "inputs.txt"
LONGEST = 20_000  # bytes of settings or of named inputs; with both, the options and their quoting still fit


def arguments(shard: Shard) -> list[str]:
    """The arguments of a stage's command for one shard of a job."""
    job = shard.job
    settings, named, _ = long_arguments(job)
    words = [settings, "--code", expected_code(job.code_roots)]
    files = [(name, job.path(file)) for name, file in job.output_files(shard.span).items()]
    if job.names:
        words += named
    else:
        files = [(name, path_of(source)) for name, sources in shard.inputs.items() for source in sources] + files
    words += [word for name, path in files for word in (f"--{name.replace('_', '-')}", path)]
    if shard.span is not None:
        words += ["--first", str(shard.span[0]), "--last", str(shard.span[1])]
    if shard.starts_at:
        words += ["--starts-at", str(shard.starts_at)]
    if job.is_training:
        words += ["--work", str(job.work)]
    return words


def long_arguments(job: Job) -> tuple[str, list[str], dict[Path, str]]:
    """A job's settings and named inputs as arguments, and the files for those that are too long, with their content.

    The settings are JSON or the path of a file with it, the inputs `NAME=PATH` each or `@FILE`, a file with one of them
    on each line.
    """
    settings = json.dumps(job.settings, sort_keys=True)
    named = [f"{name}={path_of(source)}" for name, source in zip(job.names, job.sources, strict=False)]
    files: dict[Path, str] = {}
    if len(settings.encode()) > LONGEST:
        files[job.work / SETTINGS] = f"{settings}\n"
        settings = str(job.work / SETTINGS)
    if len((lines := "\n".join(named)).encode()) > LONGEST:
        files[job.work / INPUTS] = f"{lines}\n"
        named = [f"@{job.work / INPUTS}"]
    return settings, named, files


def write_arguments(made: Iterable[Job]) -> None:
    """Write the files for arguments that are too long."""
    for path, text in (item for job in made for item in long_arguments(job)[2].items()):
        write_text(path, text)


def find_entry(jobs: Jobs, stage: str, entry: str) -> Job:
    """The job of a stage for an entry of the config, such as autoencoders.main; InputError where there is none."""
    # Two entries with one digest are one job of the plan, under the first one's name; `jobs.made` has both.
    of_stage = {job.entry: job for job in (*ordered(jobs), *jobs.made) if job.stage.name == stage}
    found = [entry] if entry in of_stage else [name for name in of_stage if name.startswith(f"{entry} ")]
    if len(found) == 1:
        return of_stage[found[0]]
    known = ", ".join(found or of_stage) or "none"
    raise InputError(f"{stage} {entry}: {'which of' if found else 'no such job; this config has'} {known}")


def commands(job: Job) -> list[list[str]]:
    """Module and arguments of a job's command, for each of its shards; InputError where an input is missing."""
    for name, sources in job.inputs.items():
        for path in map(path_of, sources):
            if not Path(path).exists():
                raise InputError(f"{job.stage.name} {job.entry}: {name} {path} is missing: snakemake {path}")
    write_arguments([job])
    return [[job.stage.command, *arguments(shard)] for shard in shards(job)]
