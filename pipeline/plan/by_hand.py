"""A stage's command for one job of a config: settings, inputs and outputs found by themselves."""

from pathlib import Path

from pipeline.base.errors import InputError
from pipeline.plan.arguments import named_arguments, settings_argument, write_arguments
from pipeline.plan.parts import Part, parts
from pipeline.plan.planned import ordered
from pipeline.stages.common import Job, Jobs


def find_entry(jobs: Jobs, stage: str, entry: str) -> Job:
    """The job of a stage for an entry of the config, such as autoencoders.main; InputError where there is none."""
    of_stage = [job for job in ordered(jobs) if job.stage.name == stage]
    found = [job for job in of_stage if job.entry == entry] or [
        job for job in of_stage if job.entry.startswith(f"{entry} ")
    ]
    if len(found) == 1:
        return found[0]
    known = ", ".join(dict.fromkeys(job.entry for job in found or of_stage)) or "none"
    raise InputError(f"{stage} {entry}: {'which of' if found else 'no such job; this config has'} {known}")


def commands(job: Job) -> list[list[str]]:
    """Module and arguments of a job's command, for each of its parts; InputError where an input is not here."""
    for part in parts(job):
        for name in part.inputs:
            for path in part.paths(name):
                if not Path(path).exists():
                    raise InputError(f"{job.stage.name} {job.entry}: {name} {path} is not here: snakemake {path}")
    write_arguments([job])
    return [[job.stage.command, *arguments(part)] for part in parts(job)]


def arguments(part: Part) -> list[str]:
    """The arguments of a stage's command for one part of a job, as its rule gives them."""
    job = part.job
    words = [settings_argument(job)]
    if job.names:
        words += named_arguments(job)
    else:
        words += [word for name in part.inputs for path in part.paths(name) for word in (option(name), path)]
    for name, file in (job.stage.outputs | job.further).items():
        words += [option(name), job.path(file)]
    if part.span is not None and job.stage.part is not None:
        words += ["--first", str(part.span[0]), "--last", str(part.span[1]), option(job.stage.part[0]), *part.outputs]
    if part.starts_at:
        words += ["--starts-at", str(part.starts_at)]
    if job.is_training:
        words += ["--work", str(job.work)]
    return words


def option(name: str) -> str:
    """The name of a command's option."""
    return f"--{name.replace('_', '-')}"
