"""The Slurm job in which a launcher runs: a step on all its nodes, signals to the step, and requeueing the job."""

import os
import subprocess
from contextlib import suppress

from bright_pipeline.base.errors import InputError


def job() -> str:
    """The number of this Slurm job; InputError outside of one."""
    if (number := os.environ.get("SLURM_JOB_ID")) is None:
        raise InputError("--nodes: several nodes need a Slurm job; outside of one, set execution.nodes to 1")
    return number


def first_node() -> str:
    """The job's first node, to which the processes of all nodes connect.

    Asked of squeue, since Snakemake's job step hides SLURM_JOB_NODELIST from its processes.
    """
    nodes = _output("squeue", "--noheader", "--format=%N", f"--jobs={job()}")
    return _output("scontrol", "show", "hostnames", nodes).split()[0]


def on_all_nodes(nodes: int) -> list[str]:
    """The beginning of a command that runs once on each node, with all resources of the job there.

    A process that fails ends those of the other nodes, which would wait for it.
    """
    step = ["srun", "--overlap", "--kill-on-bad-exit=1", "--cpu-bind=none"]
    return [*step, f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]


def attempt() -> str | None:
    """The running attempt of this job, as the number of its restarts; None if none is running.

    Without cgroups in Slurm, a launcher outlives its attempt and could signal the next one: job and step are the same.
    """
    with suppress(InputError):
        state, restarts = _output("squeue", "--noheader", "--Format=State,RestartCnt", f"--jobs={job()}").split()
        return restarts if state == "RUNNING" else None
    return None


def terminate_steps(started_in: str | None) -> None:
    """Send SIGTERM to the processes of `on_all_nodes` in this attempt; srun itself would kill them.

    Slurm ends the processes of a finished attempt by itself; scancel would act on the next attempt.
    """
    if started_in is not None and attempt() == started_in:
        subprocess.run(["scancel", "--signal=TERM", job()], capture_output=True)


def requeue(started_in: str | None) -> bool:
    """Put this job back into the queue, where it keeps its number.

    False if this attempt ends anyway (cancelled, preempted, already requeued), or must not be requeued.
    """
    is_running = started_in is not None and attempt() == started_in
    return is_running and subprocess.run(["scontrol", "requeue", job()]).returncode == 0


def _output(*command: str) -> str:
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        raise InputError(f"Slurm job {job()}: unknown to {command[0]} ({reason})") from None
    if not output:
        raise InputError(f"Slurm job {job()}: {command[0]} printed nothing")
    return output
