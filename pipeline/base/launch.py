"""Start a stage: on GPUs that it has for itself, in one process or in several, with its memory watched.

The launcher stays as the stage's parent: asked to end, it asks the stage to; it tells how the stage ended, and knows of
a child that was killed. Leases of GPUs are passed on, so they end with the last of the two. A stage whose launcher or
whose run was killed ends by itself (`heartbeat`).
"""

import os
import socket
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import KILLED, TERMINATED, run_stage
from pipeline.base.errors import InputError
from pipeline.base.gpus import Lease, lease_gpus
from pipeline.base.heartbeat import INTERRUPTED, LAUNCHED
from pipeline.base.progress import log_to, logger
from pipeline.base.records import Record, State, family, limit_mb, near_limit, resident_mb, used
from pipeline.base.signals import when_asked_to_end

ENDINGS = {0: State.DONE, KILLED: State.OUT_OF_MEMORY} | dict.fromkeys(INTERRUPTED, State.INTERRUPTED)
SAMPLE_EVERY_S = 0.25
FAMILY_EVERY = 8  # samples of the memory, until processes that the stage has started since are among them
GROWN = 1.03  # the record is written again when the peak grew by this factor
SHUTDOWN_S = 600  # torchrun kills processes that are not done so long after SIGTERM; saving must fit in


def launch(
    stage: Annotated[list[str], typer.Argument(help="Behind `--`: the stage's module and its arguments.")],
    gpus: Annotated[int, typer.Option(min=0, help="GPUs, over all nodes; one process each. 0: the CPU.")] = 0,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of this Slurm job that take part.")] = 1,
    memory: Annotated[int | None, typer.Option(help="MB that the job asked for, for its record.")] = None,
    log: Annotated[Path | None, typer.Option(help="Log of launcher and stage; it names the job's record.")] = None,
) -> None:
    """Start a stage on GPUs of its own, one process each; on a machine without GPUs they run on its CPU."""
    log_to(log)
    arguments = [*stage, *(["--log", str(log)] if log else [])]
    if gpus % nodes:
        raise InputError(f"--gpus: a multiple of --nodes {nodes}, not {gpus}")
    lease = lease_gpus(gpus) if nodes == 1 else Lease()
    environment = os.environ | {LAUNCHED: f"{socket.gethostname()}:{os.getpid()}"}
    environment |= {"CUDA_VISIBLE_DEVICES": ",".join(lease.gpus)} if lease.gpus or not gpus else {}
    devices = environment.get("CUDA_VISIBLE_DEVICES")
    facts = {"gpus": gpus, "nodes": nodes, "devices": devices}
    told = {"gpus": gpus, "nodes": nodes, "host": socket.gethostname(), "devices": devices}
    logger.info("%s: %s", stage[0], ", ".join(f"{name} {value}" for name, value in told.items()))
    record = Record(log, begins=True, started_at=time.time(), limit_mb=limit_mb(memory), peak_mb=0, **facts)
    record.write(state=State.RUNNING)
    sys.exit(supervise(command(arguments, gpus, nodes), environment, lease, record, several=max(gpus, nodes) > 1))


def command(stage: list[str], gpus: int, nodes: int = 1) -> list[str]:
    """The command that runs a stage in one process, in several, or on several nodes of a Slurm job."""
    if max(gpus, nodes) == 1 or (gpus == 0 and nodes == 1):
        return [sys.executable, "-m", *stage]
    per_node = max(1, gpus // nodes)
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={per_node}"]
    torchrun += [f"--shutdown-timeout={SHUTDOWN_S}"]
    module = ["-m", "--", *stage]  # behind `--`, or torchrun takes --log for the beginning of an option of its own
    if nodes == 1:
        return [*torchrun, "--standalone", *module]
    job, host = slurm_job()
    srun = ["srun", "--overlap", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    srun += [f"--gpus-per-node={per_node}"] if gpus else []
    meeting = ["--rdzv-backend=c10d", f"--rdzv-id={job}", f"--rdzv-endpoint={host}:{20000 + job % 20000}"]
    return [*srun, *torchrun, f"--nnodes={nodes}", *meeting, *module]


def slurm_job() -> tuple[int, str]:
    """This Slurm job's number and its first host, where the processes of all nodes meet."""
    try:
        names = ["scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]]
        hosts = subprocess.run(names, capture_output=True, text=True, check=True).stdout.split()
        return int(os.environ["SLURM_JOB_ID"]), hosts[0]
    except (KeyError, OSError, subprocess.CalledProcessError):
        raise InputError(
            "--nodes: several nodes need a Slurm job, and this is none; set execution.nodes to 1"
        ) from None


def supervise(words: list[str], environment: dict[str, str], lease: Lease, record: Record, several: bool) -> int:
    """Run the command to its end; returns its exit code, 143 after SIGTERM, 137 after SIGKILL."""
    asked: list[int] = []
    when_asked_to_end(lambda number, frame: asked.append(number))
    process = subprocess.Popen(words, env=environment, pass_fds=lease.locks)
    passed_on, written_mb = False, 0
    for sample in count():
        if asked and not passed_on:
            process.terminate()
            passed_on = True
        try:
            code = process.wait(SAMPLE_EVERY_S)
            break
        except subprocess.TimeoutExpired:
            if sample % FAMILY_EVERY == 0:
                processes = family()
            peak_mb = record.own["peak_mb"] = max(record.own["peak_mb"], round(resident_mb(processes)))
            if peak_mb > GROWN * written_mb:
                record.write()
                written_mb = peak_mb
    if code < 0:
        code = 128 - code
    if asked and code:
        code = TERMINATED
    # The kernel knows the largest process also of a stage too short for a sample.
    record.own |= (known := used()) | {"peak_mb": max(record.own["peak_mb"], known["peak_mb"])}
    # Of several processes torchrun tells only that one failed, not how.
    hidden = several and code == 1 and near_limit(record.own)
    record.write(state=State.OUT_OF_MEMORY if hidden else ENDINGS.get(code, State.FAILED))
    return code


if __name__ == "__main__":
    run_stage(launch, beats=False)
