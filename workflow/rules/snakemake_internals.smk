"""Everything of Snakemake that its documentation does not promise: no other file here uses `workflow`.

tests/workflow/test_snakemake_internals.py names the attribute that a new version of Snakemake no longer has.
"""

import shutil
from pathlib import Path

from snakemake.jobs import Job as SnakemakeJob
from snakemake.logging import logger
from snakemake.persistence import ParamsChange
from snakemake.settings.types import RerunTrigger


def this_folder():
    """The folder of the file that is being read; no existing folder where a git host provides the file."""
    return Path(workflow.current_basedir.get_path_or_uri(secret_free=True))


def given_configs():
    """The config files of the command line."""
    return [Path(path) for path in workflow.overwrite_configfiles]


def all_configs():
    """Those, or the config files that the Snakefiles name."""
    return given_configs() or [Path(path) for path in workflow.configfiles]


def is_main_process():
    """Whether this process makes the plan; a cluster job is another process."""
    return workflow.is_main_process


def is_real_run():
    """Whether this process runs jobs: not in a dry run and the like, and not as a job itself."""
    runs = workflow.executor_plugin is not None and not workflow.dryrun
    return runs and workflow.is_main_process and not workflow.touch


def has_started():
    """Whether the jobs of a real run have been scheduled; -n, --lint, --dag and --summary schedule none."""
    return workflow.scheduler is not None and is_real_run()


def has_failed_jobs():
    """Whether a job failed; after Ctrl-C, jobs end without failing."""
    return bool(workflow.scheduler.failed)


def keep_existing_files():
    """An existing file is valid, whatever a profile says: its folder is named by digests, and it was renamed into place.

    Other triggers would rerun jobs whose results exist. `rerun-incomplete` alone would remake a result that was
    complete a moment before a run was killed, but not what only that result needs as an input.
    """
    workflow.dag_settings.rerun_triggers = frozenset({RerunTrigger.MTIME})
    workflow.dag_settings.force_incomplete = True
    workflow.dag.ignore_incomplete = True


def schedule_as_jobs_end():
    """At the start of a run: no limit of jobs a second, unless another one than Snakemake's default of 100 is asked for.

    Under a limit, each job that ends adds a timer that looks for jobs every second (pull request 3744 of Snakemake): after
    some dozens of jobs, Snakemake computes as much as a job does.
    """
    limit = workflow.scheduler.job_rate_limiter
    if limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


def not_shared():
    """What all machines of a run have to share, and `--shared-fs-usage` leaves out."""
    needed = {"input-output", "persistence", "sources", "source-cache"}
    return sorted(needed - {str(usage) for usage in workflow.storage_settings.shared_fs_usage})


def forced_names(all_rules):
    """Rules and files that the command line forces."""
    names = {str(name) for name in workflow.dag_settings.forcerun}
    if workflow.dag_settings.forcetargets:
        names |= {str(target) for target in workflow.dag_settings.targets}
    return set(all_rules) if workflow.dag_settings.forceall else names


def targets():
    """The targets of the command line."""
    return [str(target) for target in workflow.dag_settings.targets]


def pending_jobs():
    """Snakemake's jobs that are going to run."""
    return list(workflow.dag.needrun_jobs())


def force(path):
    """Make this file in any case."""
    workflow.dag.forcefiles.add(path)


def gpu_model(rule):
    """The GPU that a profile names for a rule; None without one."""
    named = workflow.get_rule(rule).resources.get("gpu_model")
    return None if named is None or named.is_evaluable() else named.value


def resource_of_a_profile(rule, name):
    """The text that a profile gives a rule's resource; none without one."""
    given = workflow.get_rule(rule).resources.get(name)
    return "" if given is None else str(given.raw or given.value).strip("\"'")


def is_cluster_run():
    """Whether this process submits jobs to a cluster."""
    return workflow.is_main_process and workflow.non_local_exec


def is_cluster_job():
    """Whether this process is a job on a cluster."""
    return workflow.remote_exec


def finds_gpus():
    """Whether jobs run on GPUs: on a cluster, as the user says (`--resources gpu=N`), or where a driver is installed."""
    if workflow.remote_exec or workflow.non_local_exec:
        return True
    count = workflow.global_resources.get("gpu").value
    return shutil.which("nvidia-smi") is not None if count is None else count > 0


def all_local_cores():
    """The cores of the command line; None on a cluster."""
    return workflow.resource_settings.cores


def never_restart(is_refused):
    """Jobs that ended for a reason that no further attempt changes do not start again, whatever `retries` says."""
    times = SnakemakeJob.restart_times.fget
    SnakemakeJob.restart_times = property(lambda job: 0 if is_refused(job) else times(job))


# `--list-changes params` lists the files of a change; Snakemake 9 also those of one that is none.
ParamsChange.__iter__ = lambda change, listed=ParamsChange.__iter__: (listed(change) if change else iter(()))

# Where Snakemake's solver finds no best choice of jobs, a greedy one is as good here: its warning is left out.
UNSOLVED = "Failed to solve scheduling problem with ILP solver"
logger.addFilter(lambda record: not str(record.msg).startswith(UNSOLVED))


def add_handlers(start, success, error):
    """Call these functions before the main Snakefile's handlers of a run's start, success and error.

    A run of `--touch` makes nothing, and calls none of them.

    Snakemake runs the handlers of the main Snakefile only, and this workflow may be a module of another one.
    """
    for name, handler in (("start", start), ("success", success), ("error", error)):
        _call_before(f"on{name}", handler)


def _call_before(name, handler):
    register = getattr(workflow, name)

    def attach():
        of_snakefile = getattr(workflow, f"_{name}")

        def call_both(log):
            if is_real_run():  # known only when jobs are about to start
                handler()
            of_snakefile(log)

        setattr(workflow, f"_{name}", call_both)

    def register_and_attach(other):
        register(other)
        if getattr(workflow, f"_{name}") is other:  # not the handler of a module
            attach()

    setattr(workflow, name, register_and_attach)
    attach()


def describe(rule, text):
    """Show this text in `snakemake --list`, as a docstring: in a Snakefile that is a literal."""
    getattr(rules, rule).rule.docstring = text[:1].upper() + text[1:]


def set_default_target(rule):
    """Make this the default target: of an included file no rule is one by itself."""
    workflow.default_target = rule


def hide_missing_metadata():
    """Snakemake prints that without .snakemake/metadata fewer triggers apply; with `mtime` alone, none needs it."""
    workflow.log_missing_metadata_info = lambda: None
    workflow.log_outdated_metadata_info = lambda: None
