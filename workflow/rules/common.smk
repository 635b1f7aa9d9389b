"""The plan of this config, and how rules ask it for their inputs and settings."""

import shlex
import time

# What `onstart` knows and `onsuccess` tells.
this_run = {}


def stop(problem):
    """End here with one line; an exception would come with Snakemake's own lines around it."""
    sys.exit(f"error: {problem}")


def make_plan():
    """The plan of the config; a wrong config stops here, before any job."""
    where = ", ".join(str(path) for path in workflow.overwrite_configfiles) or "config"
    try:
        plan = Plan(load_config(config, where))
        plan.jobs
    except InputError as error:
        stop(error)
    return plan


plan = make_plan()


def upstream(stage):
    """A stage's inputs: its upstream files while one of its outputs is missing, else nothing (promise 1).

    Snakemake would otherwise make a missing input again for a result that is there, and compare clocks.
    """

    def inputs(wildcards):
        job = find(stage, wildcards)
        if job.complete and not forced(stage):
            return {}
        return {
            name: (
                [ancient(path) for path in paths]
                if isinstance(paths, list)
                else ancient(paths)
            )
            for name, paths in job.inputs.items()
        }

    return inputs


def settings(stage):
    """A stage's settings as its command takes them."""
    return lambda wildcards: settings_argument(
        find(stage, wildcards), write=not workflow.dryrun
    )


def digest(wildcards):
    """For Snakemake's cache, which sees neither raw images nor the Python that a command runs."""
    return wildcards.digest


def work(stage):
    """The folder of a training's saved states; undeclared, since Snakemake deletes outputs before a rerun."""
    return lambda wildcards: str(find(stage, wildcards).work)


def find(stage, wildcards):
    try:
        return plan.job(stage, wildcards.digest)
    except InputError as error:
        raise WorkflowError(str(error))


def forced(stage):
    """Whether the user asked for this rule again (-R or -F)."""
    return workflow.dag_settings.forceall or stage in workflow.dag_settings.forcerun


def execution(stage, wildcards):
    """How a training runs, by its config."""
    (model,) = (
        part
        for part in find(stage, wildcards).settings.values()
        if isinstance(part, dict)
    )
    return model["execution"]


def gpus(stage):
    """GPUs of a training, over all its nodes."""

    def amount(wildcards):
        how = execution(stage, wildcards)
        return how["gpus"] * how["nodes"]

    return amount


def nodes(stage):
    """Nodes of a training."""
    return lambda wildcards: execution(stage, wildcards)["nodes"]


def cpu_threads(stage):
    """Threads of a training's processes on one node: fixed by the config, since sums depend on it."""

    def amount(wildcards):
        how = execution(stage, wildcards)
        return how["cpu_threads"] * max(1, how["gpus"])

    return amount


def all_cores(wildcards):
    """All cores of this machine, so that no other job runs beside; one on a cluster, whose jobs have their own."""
    return workflow.resource_settings.cores or 1


def memory(stage, base):
    """MB that a job asks for: `base`; twice what its last attempt asked for, if that died for memory."""

    def amount(wildcards):
        log = Path(f"results/logs/{'-'.join((stage, *wildcards))}.log")
        return request_mb(record_path(log), base)

    return amount


def options(*names):
    """Command-line options for those inputs that a job has: `--name path` for each of its files."""

    def text(wildcards, input):
        paths = [
            (name, path) for name in names for path in as_list(input.get(name, []))
        ]
        return " ".join(
            f"--{name.replace('_', '-')} {shlex.quote(path)}" for name, path in paths
        )

    return text


def named(stage, inputs):
    """Arguments `name=path` for each file of a job's single list of inputs."""

    def text(wildcards, input):
        job, paths = find(stage, wildcards), as_list(input.get(inputs, []))
        return shlex.join(named_arguments(job, paths, write=not workflow.dryrun))

    return text


def as_list(paths):
    return [paths] if isinstance(paths, str) else list(paths)


def check_before_the_first_job():
    """Stop where raw images are missing or a network file is wrong; say which metrics are left out."""
    plan.fingerprints.keep()
    jobs = [
        find(job.rule.name, job.wildcards)
        for job in workflow.dag.needrun_jobs()
        if job.rule.name in STAGES
    ]
    this_run.update(made=jobs, start=time.monotonic())
    for line in left_out(jobs):
        print(line, file=sys.stderr)
    if problems := obstacles(plan, jobs):
        stop("\nerror: ".join(problems))


def show_results(plan):
    """Refresh results/RUN; say what was made, what it came to and where it lies."""
    plan.publish()
    seconds = time.monotonic() - this_run["start"]
    print(f"\n{ending(plan, this_run['made'], seconds)}\n")
