"""The Slurm job that a launcher runs in: a step on all its nodes, signals to that, and its way back into the queue."""

import os
import subprocess

from pipeline.base.errors import InputError


def job() -> str:
    """The number of this Slurm job; InputError where there is none."""
    try:
        return os.environ["SLURM_JOB_ID"]
    except KeyError:
        raise InputError(
            "--nodes: several nodes need a Slurm job, and this is none; set execution.nodes to 1"
        ) from None


def first_node() -> str:
    """The job's first node, where the processes of all nodes meet.

    Slurm is asked for it: Snakemake's job step hides SLURM_JOB_NODELIST from what it starts.
    """
    nodes = _said("squeue", "--noheader", "--format=%N", f"--jobs={job()}")
    return _said("scontrol", "show", "hostnames", nodes).split()[0]


def on_all_nodes(nodes: int) -> list[str]:
    """What stands before a command that runs once on each node, with all that the job has there.

    A process that fails ends those of the other nodes, which would wait for it.
    """
    step = ["srun", "--overlap", "--kill-on-bad-exit=1", "--cpu-bind=none"]
    return [*step, f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]


def attempt() -> str | None:
    """Which attempt of this job runs, by the number of its restarts; None where none does: it ends, waits, is unknown.

    Where Slurm keeps track of processes without cgroups, a launcher outlives the attempt that it belongs to, and would
    disturb the next one, which has the same number of job and step.
    """
    try:
        state, restarts = _said("squeue", "--noheader", "--Format=State,RestartCnt", f"--jobs={job()}").split()
    except InputError:
        return None
    return restarts if state == "RUNNING" else None


def terminate_steps(own: str | None) -> None:
    """SIGTERM to what `on_all_nodes` started in this attempt; srun itself, asked to end, kills it.

    Slurm ends by itself what is left of an attempt that is over; scancel would wait for the next one.
    """
    if own is not None and attempt() == own:
        subprocess.run(["scancel", "--signal=TERM", job()], capture_output=True)


def requeue(own: str | None) -> bool:
    """Put this job back into the queue, from where it starts again with the same number.

    False where this attempt ends in any case (cancelled, preempted, requeued already), or may not be requeued.
    """
    return own is not None and attempt() == own and subprocess.run(["scontrol", "requeue", job()]).returncode == 0


def _said(*command: str) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        told = (getattr(error, "stderr", None) or str(error)).strip()
        raise InputError(f"Slurm job {job()}: {command[0]} does not know it ({told})") from None
    if not said:
        raise InputError(f"Slurm job {job()}: {command[0]} says nothing of it")
    return said
