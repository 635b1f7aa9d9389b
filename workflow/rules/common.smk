"""The jobs of this config, and the functions with which rules ask for a job's files, arguments and names.

The digest among a rule's wildcards identifies the job; no function needs the name of the stage.
"""

import re
import shlex
import time
from contextlib import contextmanager
from functools import cache

from snakemake.exceptions import WorkflowError

from bright_pipeline.base.errors import InputError, error_line
from bright_pipeline.base.yaml_files import read_yaml
from bright_pipeline.config.root import load_config
from bright_pipeline.data.fingerprint import Fingerprints
from bright_pipeline.engine.code import described
from bright_pipeline.engine.code_copy import code_files, copy_path
from bright_pipeline.engine.damage import check_identities, wrong_sizes
from bright_pipeline.engine.jobs import Output, path_of, planned
from bright_pipeline.engine.reservations import reserve
from bright_pipeline.engine.run import Needed, everything, find_job, forced, target_jobs, wanted
from bright_pipeline.engine.shards import Shard, arguments, view
from bright_pipeline.plan.checks import name_clash
from bright_pipeline.plan.edited import price_of_edits
from bright_pipeline.plan.publish import LOCKS, is_earlier_copy
from bright_pipeline.stages import all_stages
from bright_pipeline.stages.common import Jobs

# What the hooks of this run share: reservations, jobs, times, published results.
this_run = {}


def stop(problem):
    """End with one line; an exception would come with Snakemake's own lines around it."""
    sys.exit(f"error: {problem}")


@contextmanager
def one_line():
    """Within the block, an error that the user can fix ends the run with one line."""
    try:
        yield
    except Exception as error:
        if (line := error_line(error)) is None:
            raise
        stop(line)


def config_file():
    """The config file of this run, as the user would type its path here."""
    path = (all_configs() or [Path(DEMO)])[-1].resolve()
    if path == Path(DEMO).resolve():
        return "config/demo.yaml"
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def make_jobs():
    """The jobs of the config; a wrong config stops here, before any job. Nothing is written."""
    if is_main_process() and (missing := not_shared()):
        stop(
            f"--shared-fs-usage lacks {', '.join(missing)}: all machines of a run share the file system of its folder"
            " (docs/clusters.md)"
        )
    # Without this check Snakemake would raise a traceback, also in a dry run.
    records = Path(".snakemake") if Path(".snakemake").exists() else Path()
    if is_main_process() and not os.access(records, os.W_OK):
        stop(
            f"{Path.cwd()}: not writable, and Snakemake keeps its records there, in .snakemake: run in a folder of your"
            " own; its results may be a link"
        )
    if ".dvc/tmp/exps/" in Path.cwd().as_posix():
        stop(
            "`dvc exp run --temp` and `--queue` run in a folder without results, and keep only the headline of theirs:"
            " `dvc exp run` without them uses the results here"
        )
    files = given_configs()
    with one_line():
        # Snakemake's own reader takes the last of two equal keys; this one refuses them.
        for file in files:
            read_yaml(file, str(file))
        # A cluster job plans again: the main process's fingerprints of raw images are valid for it.
        fingerprints = Fingerprints(trusted=not is_main_process())
        jobs = Jobs(load_config(config, ", ".join(map(str, files)) or "config"), fingerprints=fingerprints)
        if problem := name_clash(jobs, config_file()):
            raise InputError(problem)
        check_identities(jobs(planned).values())
    # Cluster jobs rely on the main process's check, and --unlock must work whatever is damaged.
    if is_main_process() and "--unlock" not in sys.argv:
        if damaged := [line for job in jobs(planned).values() for line in wrong_sizes(job)]:
            stop("\nerror: ".join(damaged))
    return jobs


jobs = make_jobs()


def own_code():
    """The files of the package, of those with this config's families, and of a checkout's rules."""
    with one_line():
        packages = {root.partition(".")[0] for job in jobs(planned).values() for root in job.code_roots}
        return code_files(packages, SOURCE.parent / "workflow" / "rules" if IS_CHECKOUT else None)


code = {} if CODE_COPY else own_code()
code_copy = CODE_COPY or str(copy_path(code))


@cache
def needed():
    """The shards that have to be made for this call's targets, and those that the user forces."""
    keep_existing_files()
    hide_missing_metadata()
    again = forced_names(all_stages())
    names = [*(targets() or ["all"]), *(again - all_stages().keys())]

    def plan():
        return Needed(wanted(jobs, names), forced(jobs, again))

    if not is_real_run():
        planned_shards = plan()
        say_what_edits_cost(planned_shards)
        return planned_shards
    with one_line():
        planned_shards, this_run["reservations"] = reserve(jobs, plan, lambda line: print(line, file=sys.stderr))
    # The end of any run here removes the folder of locks: runs that waited end one by one.
    if (reservations := this_run["reservations"]) and reservations.has_waited:
        for _ in range(60):
            if not reservations.lock(LOCKS.resolve()) or any(LOCKS.glob("*")):
                time.sleep(1)
        LOCKS.mkdir(parents=True, exist_ok=True)
    say_what_edits_cost(planned_shards)
    return planned_shards


def say_what_edits_cost(planned_shards):
    """A line on trainings that run again because code was edited."""
    if is_main_process():
        for line in price_of_edits(planned_shards.jobs, config_file()):
            print(line, file=sys.stderr)


def find(wildcards):
    """The shard of a job that these wildcards identify."""
    try:
        job = find_job(jobs, wildcards.digest)
    except InputError as error:
        raise WorkflowError(str(error))
    span = (int(wildcards.first), int(wildcards.last)) if job.ranges else None
    return Shard(job, span)


def upstream(wildcards):
    """A job's input files while it has to be made, else none (promise 1).

    Snakemake would otherwise re-create missing inputs of existing results, and compare modification times.
    """
    shard = find(wildcards)
    if is_main_process() and shard not in needed():
        return []
    return [given(source) for source in shard.sources]


def given(source):
    """An input for Snakemake: its modification time is ignored, unless its job is forced in this run."""
    again = isinstance(source, Output) and needed().is_rerun(source.job)
    return path_of(source) if again else ancient(path_of(source))


def published(wildcards):
    """The file of the store whose copy is this file of results/RUN."""
    copy = f"results/{jobs.config.run}/{wildcards.file}"
    if copy not in jobs(view):
        raise WorkflowError(f"{copy}: this config has no such result")
    if is_main_process() and is_earlier_copy(jobs, copy):
        force(copy)  # Snakemake accepts any file there
    return given(jobs(view)[copy])


def outputs(stage):
    """A stage's output files by the command's options; `snakemake --report` may show one of them."""
    folder = f"results/store/{stage.folder}/{{name}}-{{digest}}"
    files = {option: f"{folder}/{file}" for option, file in stage.outputs.items()}
    if shown := stage.reported:
        how = {"category": shown.category, "labels": {shown.label: "{name}"} if shown.label else None}
        files[shown.option] = report(files[shown.option], caption="../report/caption.rst", **how)
    return files


def log_file(stage):
    """The log of a stage's jobs; `Shard.log` is the same file."""
    fields = dict.fromkeys(re.findall(r"{\w+}", " ".join(stage.outputs.values())))
    return f"results/logs/{'-'.join([stage.name, '{name}', '{digest}', *fields])}.log"


def command(wildcards):
    """A job's command: the module, settings, digest of its code, inputs and outputs."""
    shard = find(wildcards)
    return shlex.join([shard.job.stage.command, *arguments(shard)])


def start(command):
    """The shell command that starts a stage of the copied code; it ignores a data/ in the folder of the run."""
    search = [code_copy, os.environ.get("PYTHONPATH", "")]
    paths = shlex.quote(os.pathsep.join(filter(None, search))).replace("{", "{{").replace("}", "}}")
    return f"PYTHONPATH={paths} python -P -m {command}"


def entry(wildcards):
    """The config entry of a job, for messages."""
    return find(wildcards).job.entry


def caption(wildcards):
    """The words under a job's file in `snakemake --report`."""
    job = find(wildcards).job
    return job.stage.reported.caption(job)


def params_of(stage):
    """What the shell command, the message and the caption of a stage's jobs contain."""
    params = {"entry": entry, "command": command}
    params |= {"processes": processes} if stage.is_training else {}
    return params | ({"caption": caption} if stage.reported else {})


def message_of(stage):
    """A line of the log for each job of a stage: entry, range of images, threads, and resources that it always has."""
    images = ", images {wildcards.first} to {wildcards.last}" if "{first}" in log_file(stage) else ""
    asked = [f"{name}={{resources.{name}}}" for name in ("nodes", "gpu", "mem_mb") if name in resources_of(stage)]
    return f"{stage.message or stage.name} {{params.entry}}{images} ({', '.join(['threads={threads}', *asked])})"


def shell_of(stage):
    """The shell command of a stage's jobs: the stage itself, or a launcher that starts it."""
    if stage.local or not stage.launched:
        return start("{params.command} --log {log:q}")
    processes = "{params.processes}" if stage.is_training else "--gpus {resources.gpu}"
    launcher = f"bright_pipeline.engine.launch {processes} --memory {{resources.mem_mb}} --log {{log:q}} --"
    workers = " --workers {threads}" if stage.threads > 1 else ""
    return start(f"{launcher} {{params.command}}{workers}")
