"""What jobs ask for: GPUs, nodes, CPU cores and memory; a stage's contract and a training's `execution` say how much."""

from math import ceil

from bright_pipeline.engine.records import record_path, request_mb
from bright_pipeline.estimation.prices import requests
from bright_pipeline.plan.checks import obstacles
from bright_pipeline.stages.common import CORES_PER_GPU


def execution(wildcards):
    """A training's `execution` section: GPUs and nodes, CPU threads."""
    values = find(wildcards).job.settings.values()
    return next(value["execution"] for value in values if isinstance(value, dict))


def gpus(wildcards):
    """A job's GPUs: a training's on all its nodes; for other stages one, if they run on a GPU. 0 uses the CPU."""
    stage = find(wildcards).job.stage
    if not finds_gpus():
        return 0
    if not stage.is_training:
        return int(stage.gpu)
    return execution(wildcards)["gpus"] * execution(wildcards)["nodes"]


def gpus_of_each_node(wildcards):
    """Slurm's `gres` of a training: the GPUs on each node, of the rule's `gpu_model` where a profile names one."""
    count = execution(wildcards)["gpus"]
    model = gpu_model(find(wildcards).job.stage.name) or card(wildcards)
    return ":".join(filter(None, ("gpu", model, str(count)))) if count else None


SHORTEST_MIN, LONGEST_MIN = 15, 24 * 60  # a training that needs longer requeues itself


@cache
def prices():
    """Upper ends of seconds, and MiB of GPU memory, of each job of the run; none where this process submits none."""
    if not is_cluster_run() or obstacles(jobs, needed()):
        return {}
    return requests(jobs, dict(cards()))


def runtime(wildcards, attempt):
    """Minutes: the upper end of a job's price, and more after a failure; the longest time where it is unknown."""
    shard = find(wildcards)
    seconds, _ = prices().get(shard.log_name, (None, None))
    if seconds is None:
        return LONGEST_MIN if is_cluster_run() else None
    minutes = ceil(attempt * max(SHORTEST_MIN, seconds / 60))
    return min(minutes, LONGEST_MIN) if shard.job.is_training else minutes


def gpu_mem_mb(wildcards):
    """MiB on each of a job's GPUs."""
    return prices().get(find(wildcards).log_name, (None, None))[1]


def cards():
    """The cluster's cards and their GiB, the smallest first: `cards="rtx3090:24,a100:80"` under default-resources."""
    listed = resource_of_a_profile("train_autoencoder", "cards").split(",")
    pairs = [entry.strip().split(":") for entry in listed if ":" in entry]
    return sorted(((name, int(gib)) for name, gib in pairs), key=lambda pair: pair[1])


def card(wildcards):
    """The smallest of the cluster's cards with enough memory for a job, else the largest; none where none is named."""
    if not gpus(wildcards) or not (known := cards()):
        return None
    needed = gpu_mem_mb(wildcards) or 0
    return next((name for name, gib in known if needed <= 1024 * gib), known[-1][0])


# What a cluster's scheduler needs for backfilling and for choosing a card.
priced = {"runtime": runtime, "gpu_mem_mb": gpu_mem_mb, "gpu_model": card}


def nodes(wildcards):
    """The nodes of a training."""
    return execution(wildcards)["nodes"]


def on_several_nodes(value):
    """A resource that only trainings on several nodes ask for."""
    return lambda wildcards: value(wildcards) if nodes(wildcards) > 1 else None


# The resources of a training on several nodes (docs/clusters.md). Slurm may distribute `gpu`, the sum over all nodes,
# unevenly: `gres` fixes the number on each. With `mpi` the executor leaves it to the launcher to start processes on
# the nodes; `tasks` alone would mean tasks for each GPU.
across_nodes = {
    "nodes": nodes,
    "gres": on_several_nodes(gpus_of_each_node),
    "mpi": on_several_nodes(lambda wildcards: "srun"),
    "tasks": on_several_nodes(nodes),
    "tasks_per_gpu": on_several_nodes(lambda wildcards: 0),
}


def processes(wildcards, resources):
    """The launcher's options for a training; a Slurm job that reaches its time limit is requeued and continues."""
    requeue = " --requeue" if is_cluster_job() else ""
    on_cpu = max(1, execution(wildcards)["gpus"])
    return f"--gpus {resources.gpu // resources.nodes} --processes {on_cpu} --nodes {resources.nodes}{requeue}"


def cores(wildcards):
    """CPU cores on each node: enough to feed the GPUs, and at least a training's threads, which its sums depend on."""
    stage = find(wildcards).job.stage
    if stage.alone:
        return all_local_cores() or 1  # on a cluster, where jobs have cores of their own, one
    if not stage.gpu:
        return stage.threads
    feeding = CORES_PER_GPU if finds_gpus() else 1
    if not stage.is_training:
        return feeding
    how = execution(wildcards)
    if how["gpus"] == 0:
        return how["cpu_threads"]
    return max(how["cpu_threads"], feeding) * how["gpus"]


def memory(wildcards):
    """MB on each node: the stage's for each process; after an attempt that ran out of memory, twice its request."""
    shard = find(wildcards)
    stage = shard.job.stage
    count = execution(wildcards)["gpus"] if stage.is_training else 1
    return request_mb(record_path(shard.log), stage.memory_mb * max(1, count))


def resources_of(stage):
    """What a stage's jobs ask for, besides cores; a local one takes seconds, and asks for nothing."""
    if stage.local:
        return {}
    if not stage.launched:
        return {"mem_mb": memory}
    return (across_nodes if stage.is_training else {}) | priced | {"gpu": gpus, "mem_mb": memory}
