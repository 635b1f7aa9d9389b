"""Start a stage on GPUs that no other job uses, in one or several processes, and record its memory.

The launcher stays as the stage's parent: it passes SIGTERM on, and records how the stage ended, also if it was killed.
A lease is a lock (flock) on a file of the GPU, which the stage inherits: the kernel releases it when the last of the
two processes ends. A stage whose launcher or run was killed ends by itself (`heartbeat`). A training whose Slurm job
reaches its time limit is requeued and resumes.
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

from bright_pipeline.engine.command import KILLED, TERMINATED, run_stage
from bright_pipeline.base.errors import DeviceError
from bright_pipeline.base.process import on_end_request
from bright_pipeline.base.progress import log_to, logger
from bright_pipeline.engine import records, slurm
from bright_pipeline.engine.gpus import Lease, lease_gpus, require_gpus
from bright_pipeline.engine.heartbeat import INTERRUPTED, LAUNCHED
from bright_pipeline.engine.records import REFUSED, Record, State

ENDINGS = {0: State.DONE, KILLED: State.OUT_OF_MEMORY} | dict.fromkeys(INTERRUPTED, State.INTERRUPTED)
SAMPLE_EVERY_S = 0.25
LIST_PROCESSES_EVERY = 8  # samples of the memory, to include processes that the stage has started since
PEAK_UPDATE_FACTOR = 1.03  # the record is updated when the peak has grown by this factor
SHUTDOWN_S = 600  # torchrun kills processes that run so long after SIGTERM; saving must take less
RENDEZVOUS_S = 600  # a node waits so long for the others: Python can start slowly from a shared file system


def launch(
    stage: Annotated[list[str], typer.Argument(help="Behind `--`: the stage's module and its arguments.")],
    gpus: Annotated[int, typer.Option(min=0, help="GPUs on each node, with one process each. 0: the CPU.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Processes on each node, where the CPU is used.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of this Slurm job to use.")] = 1,
    memory: Annotated[int | None, typer.Option(help="MB that the job requested, for its record.")] = None,
    log: Annotated[Path | None, typer.Option(help="Log of launcher and stage, which names the record.")] = None,
    requeue: Annotated[
        bool, typer.Option("--requeue", help="After SIGTERM, requeue this Slurm job if the stage made progress.")
    ] = False,
) -> None:
    """Start a stage with one process per GPU, which no other job uses; without GPUs, on the CPU."""
    log_to(log)
    arguments = [*stage, *(["--log", str(log)] if log else [])]
    counts = {"gpus": gpus, "processes": gpus or processes, "nodes": nodes}
    record = Record(log, begins=True, peak_mb=0, limit_mb=records.limit_mb(memory), **counts)
    environment = os.environ | {LAUNCHED: f"{socket.gethostname()}:{os.getpid()}", "PYTHONSAFEPATH": "1"}
    try:
        lease = lease_gpus(gpus) if nodes == 1 else {}
        environment |= {"CUDA_VISIBLE_DEVICES": ",".join(lease)} if lease or not gpus else {}
        if gpus:
            require_gpus(gpus, environment, slurm.on_all_nodes(nodes) if nodes > 1 else ())
    except DeviceError as error:
        record.write(state=State.FAILED, error=str(error), **{REFUSED: True})
        raise
    devices = environment.get("CUDA_VISIBLE_DEVICES")
    logger.info("%s: gpus %d, nodes %d, host %s, devices %s", stage[0], gpus, nodes, socket.gethostname(), devices)
    record.repeated |= {"started_at": time.time(), "devices": devices}
    record.write(state=State.RUNNING)
    attempt = slurm.attempt() if requeue or nodes > 1 else None
    code = supervise(command(arguments, record.repeated["processes"], nodes), environment, lease, record, attempt)
    if requeue and code == TERMINATED and made_progress(log) and slurm.requeue(attempt):
        logger.info("%s: Slurm job %s is requeued and resumes from here", stage[0], slurm.job())
    sys.exit(code)


def made_progress(log: Path | None) -> bool:
    """Whether the attempt did more steps than it began with; an earlier one may have lost steps after its last save."""
    record = records.read_record(records.record_path(log)) if log else {}
    return bool(record.get("done", 0) > record.get("done_before", 0))


def command(stage: list[str], processes: int, nodes: int = 1) -> list[str]:
    """The command that runs a stage in so many processes on each node; several nodes need a Slurm job."""
    if processes * nodes == 1:
        return [sys.executable, "-m", *stage]
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    torchrun += [f"--shutdown-timeout={SHUTDOWN_S}"]
    module = ["-m", "--", *stage]  # without `--`, torchrun reads --log as an abbreviation of its own option
    if nodes == 1:
        return [*torchrun, "--standalone", *module]
    with socket.create_server(("", 0)) as server:  # a free port: two trainings on one node must not connect
        endpoint = f"{slurm.first_node()}:{server.getsockname()[1]}"
    rendezvous = ["--rdzv-backend=c10d", f"--rdzv-id={slurm.job()}", f"--rdzv-endpoint={endpoint}"]
    rendezvous += [f"--rdzv-conf=join_timeout={RENDEZVOUS_S},read_timeout={RENDEZVOUS_S}"]
    return [*slurm.on_all_nodes(nodes), *torchrun, f"--nnodes={nodes}", *rendezvous, *module]


def supervise(words: list[str], environment: dict[str, str], lease: Lease, record: Record, attempt: str | None) -> int:
    """Run the command to its end; returns its exit code, 143 after SIGTERM, 137 after SIGKILL."""
    nodes = record.repeated["nodes"]
    signals: list[int] = []
    on_end_request(lambda number, frame: signals.append(number))
    process = subprocess.Popen(words, env=environment, pass_fds=tuple(lease.values()))
    passed_on, written_mb = False, 0
    for sample in count():
        if signals and not passed_on:
            process.terminate() if nodes == 1 else slurm.terminate_steps(attempt)
            passed_on = True
        try:
            code = process.wait(SAMPLE_EVERY_S)
            break
        except subprocess.TimeoutExpired:
            if sample % LIST_PROCESSES_EVERY == 0:
                processes = records.process_tree()
            resident_mb = round(records.resident_mb(processes))
            peak_mb = record.repeated["peak_mb"] = max(record.repeated["peak_mb"], resident_mb)
            if peak_mb > PEAK_UPDATE_FACTOR * written_mb:
                record.write()
                written_mb = peak_mb
    code = code if code >= 0 else 128 - code
    # torchrun reports that a process failed, but not how; the first process writes it into the record.
    several = max(record.repeated["processes"], nodes) > 1
    recorded = records.read_record(records.record_path(record.log)) if record.log and several else {}
    if code and recorded.get(REFUSED):
        code = 2
    elif code and (signals or recorded.get("state") == State.INTERRUPTED):
        code = TERMINATED
    # For a stage too short for a sample, the kernel knows the peak.
    record.repeated |= (usage := records.used()) | {"peak_mb": max(record.repeated["peak_mb"], usage["peak_mb"])}
    hidden = several and code == 1 and records.near_limit(record.repeated)
    record.write(state=State.OUT_OF_MEMORY if hidden else ENDINGS.get(code, State.FAILED))
    return code


if __name__ == "__main__":
    run_stage(launch, beats=False)
