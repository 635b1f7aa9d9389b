"""Start a stage: on GPUs that it has for itself, in one process or in several, with its memory watched.

The launcher stays as the stage's parent: asked to end, it asks the stage to; it tells how the stage ended, and knows of
a child that was killed. Leases of GPUs are passed on, so they end with the last of the two. A stage whose launcher or
whose run was killed ends by itself (`heartbeat`). A training whose Slurm job comes to its time limit goes on in the
same job, which is put back into the queue.
"""

import os
import socket
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.base import slurm
from pipeline.base.command import KILLED, TERMINATED, run_stage
from pipeline.base.gpus import Lease, lease_gpus
from pipeline.base.heartbeat import INTERRUPTED, LAUNCHED
from pipeline.base.process import on_end_request
from pipeline.base.progress import log_to, logger
from pipeline.base.records import (
    Record,
    State,
    family,
    limit_mb,
    near_limit,
    read_record,
    record_path,
    resident_mb,
    used,
)

ENDINGS = {0: State.DONE, KILLED: State.OUT_OF_MEMORY} | dict.fromkeys(INTERRUPTED, State.INTERRUPTED)
SAMPLE_EVERY_S = 0.25
FAMILY_EVERY = 8  # samples of the memory, until processes that the stage has started since are among them
GROWN = 1.03  # the record is written again when the peak grew by this factor
SHUTDOWN_S = 600  # torchrun kills processes that are not done so long after SIGTERM; saving must fit in
MEETING_S = 600  # so long a node waits for the others: Python can start slowly from a file system that all share


def launch(
    stage: Annotated[list[str], typer.Argument(help="Behind `--`: the stage's module and its arguments.")],
    gpus: Annotated[int, typer.Option(min=0, help="GPUs on each node; one process each. 0: the CPU.")] = 0,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of this Slurm job that take part.")] = 1,
    memory: Annotated[int | None, typer.Option(help="MB that the job asked for, for its record.")] = None,
    log: Annotated[Path | None, typer.Option(help="Log of launcher and stage; it names the job's record.")] = None,
    requeue: Annotated[
        bool, typer.Option("--requeue", help="Asked to end after progress, put this Slurm job back into the queue.")
    ] = False,
) -> None:
    """Start a stage on GPUs of its own, one process each; on a machine without GPUs they run on its CPU."""
    log_to(log)
    arguments = [*stage, *(["--log", str(log)] if log else [])]
    earlier = told(log)
    lease = lease_gpus(gpus) if nodes == 1 else Lease()
    environment = os.environ | {LAUNCHED: f"{socket.gethostname()}:{os.getpid()}"}
    environment |= {"CUDA_VISIBLE_DEVICES": ",".join(lease.gpus)} if lease.gpus or not gpus else {}
    devices = environment.get("CUDA_VISIBLE_DEVICES")
    facts = {"gpus": gpus, "nodes": nodes, "devices": devices}
    shown = {"gpus": gpus, "nodes": nodes, "host": socket.gethostname(), "devices": devices}
    logger.info("%s: %s", stage[0], ", ".join(f"{name} {value}" for name, value in shown.items()))
    record = Record(log, begins=True, started_at=time.time(), limit_mb=limit_mb(memory), peak_mb=0, **facts)
    record.write(state=State.RUNNING)
    attempt = slurm.attempt() if requeue or nodes > 1 else None
    code = supervise(command(arguments, gpus, nodes), environment, lease, record, gpus, nodes, attempt)
    if requeue and code == TERMINATED and steps_done(told(log)) > steps_done(earlier) and slurm.requeue(attempt):
        logger.info("%s: Slurm job %s goes on from here, back in the queue", stage[0], slurm.job())
    sys.exit(code)


def told(log: Path | None) -> dict[str, Any]:
    """The job's record."""
    return read_record(record_path(log)) if log else {}


def steps_done(record: dict[str, Any]) -> float:
    """How far a stage was; 0 where that is not known."""
    done = record.get("done")
    return done if isinstance(done, int | float) else 0


def command(stage: list[str], gpus: int, nodes: int = 1) -> list[str]:
    """The command that runs a stage in one process, in several, or on several nodes of a Slurm job."""
    if max(1, gpus) * nodes == 1:
        return [sys.executable, "-m", *stage]
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={max(1, gpus)}"]
    torchrun += [f"--shutdown-timeout={SHUTDOWN_S}"]
    module = ["-m", "--", *stage]  # behind `--`, or torchrun takes --log for the beginning of an option of its own
    if nodes == 1:
        return [*torchrun, "--standalone", *module]
    meeting = ["--rdzv-backend=c10d", f"--rdzv-id={slurm.job()}", f"--rdzv-endpoint={slurm.first_node()}:{free_port()}"]
    meeting += [f"--rdzv-conf=join_timeout={MEETING_S},read_timeout={MEETING_S}"]
    return [*slurm.on_all_nodes(nodes), *torchrun, f"--nnodes={nodes}", *meeting, *module]


def free_port() -> int:
    """A port that nobody listens on here: two trainings on one node must not meet."""
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def supervise(
    words: list[str],
    environment: dict[str, str],
    lease: Lease,
    record: Record,
    gpus: int,
    nodes: int,
    attempt: str | None,
) -> int:
    """Run the command to its end; returns its exit code, 143 after SIGTERM, 137 after SIGKILL."""
    asked: list[int] = []
    on_end_request(lambda number, frame: asked.append(number))
    process = subprocess.Popen(words, env=environment, pass_fds=lease.locks)
    passed_on, written_mb = False, 0
    for sample in count():
        if asked and not passed_on:
            process.terminate() if nodes == 1 else slurm.terminate_steps(attempt)
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
    # Of several processes torchrun tells only that one failed, not how; the first one tells it in the record.
    several = max(gpus, nodes) > 1
    if code and (asked or (several and told(record.log).get("state") == State.INTERRUPTED)):
        code = TERMINATED
    # The kernel knows the largest process also of a stage too short for a sample.
    record.own |= (known := used()) | {"peak_mb": max(record.own["peak_mb"], known["peak_mb"])}
    hidden = several and code == 1 and near_limit(record.own)
    record.write(state=State.OUT_OF_MEMORY if hidden else ENDINGS.get(code, State.FAILED))
    return code


if __name__ == "__main__":
    run_stage(launch, beats=False)
