"""The jobs of this config, and how rules ask them for their inputs and settings."""

import atexit
import shlex
import shutil
import time

# What `onstart` knows and `onsuccess` tells.
this_run = {}


def stop(problem):
    """End here with one line; an exception would come with Snakemake's own lines around it."""
    sys.exit(f"error: {problem}")


@contextmanager
def one_line():
    """Within the block, bad input and what a disk refuses end the run with one line."""
    try:
        yield
    except InputError as error:
        stop(error)
    except OSError as error:
        if (line := disk_problem(error)) is None:
            raise
        stop(line)


def config_file():
    """The config file of this run, as one would type it here."""
    files = [
        Path(path) for path in workflow.overwrite_configfiles or workflow.configfiles
    ]
    if not files or files[-1].resolve() == Path(DEMO).resolve():
        return "config/demo.yaml"
    here = Path.cwd()
    path = files[-1].resolve()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def check_own_folder():
    """Say what Snakemake would tell with a traceback, also where it only looks."""
    place = Path(".snakemake") if Path(".snakemake").exists() else Path()
    if workflow.is_main_process and not os.access(place, os.W_OK):
        stop(
            f"{Path.cwd()}: not writable, and Snakemake keeps its records there, in .snakemake: run in a folder of your"
            " own; its results may be a link"
        )


def make_jobs():
    """The jobs of the config; a wrong config stops here, before any job. Nothing is written."""
    check_own_folder()
    where = ", ".join(str(path) for path in workflow.overwrite_configfiles) or "config"
    try:
        # A job on a cluster reads this file again: what the main process knew of raw images holds for it.
        known = Fingerprints(trusted=not workflow.is_main_process)
        for (
            file
        ) in (
            workflow.overwrite_configfiles
        ):  # Snakemake's own reader takes the last of two equal keys
            read_yaml(Path(file), str(file))
        jobs = Jobs(load_config(config, where), fingerprints=known)
        if problem := claimed_run(jobs, config_file()):
            raise InputError(problem)
        check_identities(jobs(planned).values())
    except InputError as error:
        stop(error)
    # A job on a cluster reads what the main process looked at; and a lock is taken away whatever is damaged.
    if workflow.is_main_process and "--unlock" not in sys.argv:
        found = [line for job in jobs(planned).values() for line in wrong_sizes(job)]
        if found:
            stop("\nerror: ".join(found))
    return jobs


jobs = make_jobs()


@cache
def needed():
    """What has to be made for the targets of this call, and what its user asked for again."""
    asked = workflow.dag_settings
    check_triggers(asked.rerun_triggers)
    again = {str(name) for name in asked.forcerun}
    if asked.forcetargets:
        again |= {str(target) for target in asked.targets}
    if asked.forceall:
        again = set(all_stages())
    files = [name for name in again if name not in all_stages()]
    targets = [str(target) for target in (*(asked.targets or ["all"]), *files)]

    def plan():
        return Needed(wanted(jobs, targets), forced(jobs, again))

    if not is_real_run():
        return plan()
    with one_line():
        found, this_run["claims"] = claim(
            jobs, plan, lambda line: print(line, file=sys.stderr)
        )
    return found


def is_real_run():
    """Whether this process runs jobs: not when a workflow is only looked at, and not as a job itself."""
    runs = workflow.executor_plugin is not None and not workflow.dryrun
    return runs and workflow.is_main_process and not workflow.touch


def check_triggers(triggers):
    """Say where a profile took away the one trigger under which folders named by digests decide."""
    if {str(trigger) for trigger in triggers} != {"mtime"}:
        print(
            "warning: `rerun-triggers: [mtime]` is not set (profiles/default has it; a profile of your own needs it"
            " too): results that are right may be made again",
            file=sys.stderr,
        )


def upstream(stage):
    """A stage's inputs: its upstream files while it has to be made, else nothing (promise 1).

    Snakemake would otherwise make a missing input again for a result that is there, and compare clocks.
    """

    def inputs(wildcards):
        shard = find(stage, wildcards)
        if workflow.is_main_process and shard not in needed():
            return {}
        return {
            name: [given(source) for source in sources]
            for name, sources in shard.inputs.items()
        }

    return inputs


def given(source):
    """An input for Snakemake: no clock counts, but what is made again makes again what stands on it."""
    again = isinstance(source, Output) and needed().again(source.job)
    return path_of(source) if again else ancient(path_of(source))


def find(stage, wildcards):
    """The shard of a job that these wildcards name."""
    try:
        job = find_job(jobs, stage, wildcards.digest)
    except InputError as error:
        raise WorkflowError(str(error))
    if job.stage.part is None:
        return Shard(job)
    return Shard(job, (int(wildcards.first), int(wildcards.last)))


def published(wildcards):
    """The file of the store behind one of results/RUN."""
    place = f"results/{jobs.config.run}/{wildcards.place}"
    if place not in jobs(view):
        raise WorkflowError(f"{place}: this config has no such result")
    if workflow.is_main_process and is_earlier_copy(jobs, place):
        workflow.dag.forcefiles.add(place)  # Snakemake is content with any file there
    return given(jobs(view)[place])


def settings(stage):
    """A stage's settings as its command takes them."""
    return lambda wildcards: settings_argument(find(stage, wildcards).job)


def code(stage):
    """The digest of the code that a job's digest is made from: its command runs no other."""
    return lambda wildcards: expected_code(find(stage, wildcards).job.code_roots)


def entry(stage):
    """What the config calls a job, for messages."""
    return lambda wildcards: find(stage, wildcards).job.entry


def digest(wildcards):
    """For Snakemake's cache, which sees neither raw images nor the Python that a command runs."""
    return wildcards.digest


def work(stage):
    """The folder of a training's saved states; undeclared, since Snakemake deletes outputs before a rerun."""
    return lambda wildcards: str(find(stage, wildcards).job.work)


def starts_at(wildcards):
    """The index of the first image in the files that features are taken of."""
    return find("extract_features", wildcards).starts_at


def execution(stage, wildcards):
    """How a training runs, by its config."""
    (model,) = (
        part
        for part in find(stage, wildcards).job.settings.values()
        if isinstance(part, dict)
    )
    return model["execution"]


def gpus(stage):
    """GPUs that a job asks for: of a training, on all its nodes; else one where its stage runs on a GPU."""

    def amount(wildcards):
        how = execution(stage, wildcards)
        return how["gpus"] * how["nodes"]

    contract = all_stages()[stage]
    return amount if contract.is_training else int(contract.gpu)


def across_nodes(stage):
    """Nodes of a training, and what Slurm needs to know of several (docs/clusters.md).

    `gpu` is their sum there, which it may spread unevenly: `gres` is what each has. With `mpi` the executor leaves it
    to the launcher to start something on each node; `tasks` alone would be so many for each GPU.
    """

    def nodes(wildcards):
        return execution(stage, wildcards)["nodes"]

    def of_several(value):
        return lambda wildcards: value(wildcards) if nodes(wildcards) > 1 else None

    def gpus_of_each(wildcards):
        count = execution(stage, wildcards)["gpus"]
        model = workflow.get_rule(stage).resources.get("gpu_model").value
        return (
            ":".join(("gpu", *([model] if model else []), str(count)))
            if count
            else None
        )

    return {
        "nodes": nodes,
        "gres": of_several(gpus_of_each),
        "mpi": of_several(lambda wildcards: "srun"),
        "tasks": of_several(nodes),
        "tasks_per_gpu": of_several(lambda wildcards: 0),
    }


def processes(wildcards, resources):
    """The launcher's options for a training; a Slurm job that comes to its time limit goes on from the queue."""
    requeue = " --requeue" if workflow.remote_exec else ""
    return (
        f"--gpus {resources.gpu // resources.nodes} --nodes {resources.nodes}{requeue}"
    )


def cores(stage):
    """CPU cores of a job on each node: of a training's threads, whose number its sums depend on; more to feed GPUs."""

    def amount(wildcards):
        if not contract.is_training:
            return CORES_PER_GPU if has_gpus() else 1
        how = execution(stage, wildcards)
        feeding = CORES_PER_GPU if has_gpus() and how["gpus"] else 0
        return max(how["cpu_threads"], feeding) * max(1, how["gpus"])

    contract = all_stages()[stage]
    return amount


def has_gpus():
    """Whether jobs find GPUs: on a cluster; on this machine, where the run was told how many there are."""
    on_cluster = workflow.remote_exec or workflow.non_local_exec
    return on_cluster or bool(workflow.global_resources.get("gpu").value)


def all_cores(wildcards):
    """All cores of this machine, so that no other job runs beside; one on a cluster, whose jobs have their own."""
    return workflow.resource_settings.cores or 1


def memory(stage):
    """MB that a job asks for on each node: its stage's for each process there; after a death for memory, twice that."""

    def amount(wildcards):
        log = Path(f"results/logs/{'-'.join((stage, *wildcards))}.log")
        contract = all_stages()[stage]
        count = execution(stage, wildcards)["gpus"] if contract.is_training else 1
        return request_mb(record_path(log), contract.memory_mb * max(1, count))

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


def named(stage):
    """Arguments `name=path` for each file of a job's single list of inputs."""
    return lambda wildcards: shlex.join(named_arguments(find(stage, wildcards).job))


def as_list(paths):
    return [paths] if isinstance(paths, str) else list(paths)


def check_before_the_first_job():
    """Keep what this run knows of raw images; stop where something is missing that a job needs."""
    made = [
        find(job.rule.name, job.wildcards)
        for job in workflow.dag.needrun_jobs()
        if job.rule.name in all_stages() and job.rule.name != "fetch_network"
    ]
    with one_line():
        jobs.fingerprints.keep()
    asked = needed().among(made)
    for line in left_out(asked.jobs):
        print(line, file=sys.stderr)
    warn_of_memory()
    if problems := obstacles(jobs, asked):
        stop("\nerror: ".join(problems))
    for job in asked.jobs:
        if job.is_training and job.key in asked.forced:
            if is_locked(job.work):
                stop(
                    f"{job.entry}: {lock_holder(job.work)} trains in {job.work}; wait for it to end, or stop it"
                )
            # Asked for again, a training begins again: no saved state of the last one counts.
            shutil.rmtree(job.work, ignore_errors=True)
    with one_line():
        set_back(str(path) for job in workflow.dag.needrun_jobs() for path in job.input)
        write_arguments(asked.jobs)
    if this_run.get("claims") is None:  # there was no store
        with one_line():
            claims = this_run["claims"] = Claims()
            if (other := claims.take(to_make(asked))) is not None:
                stop(
                    f"another run on this store makes {other} now: start again after it"
                )
    this_run.update(made=asked.jobs, start=time.monotonic())
    on_end_request(end_with_jobs)


def warn_of_memory():
    """Say which trainings the GPU has no room for that a profile names for their rule (`gpu_model`)."""
    named = {}
    for job in workflow.dag.needrun_jobs():
        if job.rule.name in all_stages() and (card := job.resources.get("gpu_model")):
            model = find(job.rule.name, job.wildcards).job
            if model.is_training and model.jobs is jobs:
                named.setdefault(str(card), []).append(model.entry)
    for card, entries in named.items():
        for line in memory_warnings(jobs.config, entries, card):
            print(f"warning: {line}", file=sys.stderr)


def end_with_jobs(number, frame):
    """Snakemake alone was asked to end: its jobs save their state and end, as they do when they are asked."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any(word.startswith("pipeline.") for word in process.cmdline()):
                process.terminate()
    raise KeyboardInterrupt  # Snakemake cancels what it gave to a cluster, and waits for its own


def show_results():
    """Refresh results/RUN; say what was made, what it came to and where it lies."""
    with one_line():
        shown = this_run["published"] = publish(jobs, config_file())
    seconds = time.monotonic() - this_run["start"]
    print(f"\n{ending(jobs, this_run['made'], seconds, shown)}\n")


@atexit.register
def publish_at_the_end():
    """results/RUN shows this config's results after every real run, also one that failed or had nothing to make.

    Only a run has a scheduler: looking at a workflow (-n, --lint, --dag, --summary, ...) writes nothing.
    """
    if getattr(workflow, "scheduler", None) is not None and is_real_run():
        try:
            jobs.fingerprints.keep()
            if "published" not in this_run:
                for line in told_earlier(publish(jobs, config_file())):
                    print(line)
        except OSError as error:
            # At the exit of Python, where no exception is heard of.
            print(f"error: results are not published: {disk_problem(error) or error}")
