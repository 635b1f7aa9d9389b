"""The launcher: leases that never overlap, exit codes, its entries in records; in a Slurm job, nodes and requeueing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.process import cores, own_cores
from bright_pipeline.engine import records
from bright_pipeline.engine.gpus import visible_gpus
from bright_pipeline.engine.launch import command
from builds import no_gpu
from daemons import wait_for

UUIDS = ["GPU-aaaa-0", "GPU-abbb-1", "GPU-cccc-2"]

# Writes its GPUs, works, writes that it is done; of several processes only the first.
WORKER = """
import os, sys, time
if os.environ.get("RANK", "0") != "0":
    sys.exit()
gpus = os.environ["CUDA_VISIBLE_DEVICES"]
with open(sys.argv[1], "a") as file:
    print("begin", os.getpid(), gpus, file=file, flush=True)
    time.sleep(float(sys.argv[2]))
    print("end", os.getpid(), gpus, file=file, flush=True)
"""

# Ends as its argument says: an exit code, SIGKILL, a failed allocation, after a step or none, or SIGTERM after a line.
ENDER = """
import os, signal, sys, time
import typer
from bright_pipeline.engine.command import LogOption, run_stage
from bright_pipeline.base.progress import Progress, log_to
def stage(how: str, log: LogOption = None) -> None:
    log_to(log)
    match how:
        case "kill": os.kill(os.getpid(), signal.SIGKILL)
        case "allocate": bytearray(1 << 62)
        case "gpu": raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")
        case "torch": raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")
        case "step" | "no step":
            with Progress("train", 9, "steps", 3) as progress:
                progress.advance(int(how == "step"))
                os.replace("later", "state")
                sys.exit(143)
        case "wait":
            os.write(1, b"ready\\n")  # whole, also where several do
            time.sleep(60)
        case _: sys.exit(int(how))
run_stage(stage)
"""


# A PyTorch for CUDA 13 that sees GPUs, as SEEN says. It is for the check of GPUs: torchrun and its processes use the
# real one.
TORCH = """
import os, sys
if "bright_pipeline.engine.gpus" not in sys.orig_argv:
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(__file__)]
    del sys.modules["torch"]
    import torch
__version__, seen = "2.13.0", int(os.environ.get("SEEN", "3"))
class version:
    cuda = "13.0"
class cuda:
    device_count = lambda: seen
    def init():
        if not seen:
            raise RuntimeError("The NVIDIA driver on your system is too old (found version 12020).")
def zeros(size, device): pass
"""


def install(folder: Path, name: str, script: str) -> None:
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / name).chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with three GPUs, as nvidia-smi lists them, and modules to launch; its own leases."""
    lines = "\n".join(f"{index}, {uuid}" for index, uuid in enumerate(UUIDS))
    install(
        tmp_path,
        "nvidia-smi",
        f'[ "$1" = --query-gpu=driver_version ] && echo 535.104 && exit\ncat <<END\n{lines}\nEND',
    )
    (tmp_path / "torch.py").write_text(TORCH)
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "ender.py").write_text(ENDER)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path(__file__).parents[2] / 'pipeline'}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("REAL_PROCESSES", "1")  # forks of a fork server have loaded the real PyTorch
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def launch(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "bright_pipeline.engine.launch", *arguments], text=True, **options)


def events(path: Path) -> list[tuple[str, str, list[str]]]:
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(kind, process, gpus.split(",")) for kind, process, gpus in lines]


@pytest.mark.slow
def test_no_gpu_ever_has_two_jobs_and_jobs_for_many_get_theirs(machine: Path) -> None:
    story = machine / "story"
    wants = [1, 2, 1, 3, 1, 1, 2, 1]
    processes = [launch("--gpus", str(count), "--", "worker", str(story), "0.2") for count in wants]
    assert [process.wait(600) for process in processes] == [0] * len(wants)
    busy: dict[str, str] = {}
    sizes = []
    for kind, process, gpus in events(story):
        if kind == "begin":
            sizes.append(len(gpus))
            assert not set(gpus) & busy.keys()
            busy |= dict.fromkeys(gpus, process)
        else:
            assert all(busy.pop(gpu) == process for gpu in gpus)
    assert sorted(sizes) == sorted(wants)


def test_a_lease_ends_with_the_stage_even_if_it_is_killed(machine: Path) -> None:
    story = machine / "story"
    first = launch("--gpus", "3", "--", "worker", str(story), "60")
    wait_for(lambda: events(story), 20, "the stage did not start")
    second = launch("--gpus", "1", "--", "worker", str(story), "0", stderr=subprocess.PIPE)
    assert second.stderr is not None
    assert "waiting for 1 of 3 GPUs" in second.stderr.readline()
    stage = int(events(story)[0][1])
    first.kill()  # the launcher: its stage lives, and keeps the lease
    first.wait()
    time.sleep(0.7)
    assert len(events(story)) == 1
    os.kill(stage, signal.SIGKILL)
    assert second.wait(20) == 0
    assert [kind for kind, _, _ in events(story)] == ["begin", "begin", "end"]


@pytest.mark.parametrize(
    ("chosen", "visible"),
    [
        (None, UUIDS),
        ("", []),
        ("2,0", [UUIDS[2], UUIDS[0]]),
        ("1,7,0", [UUIDS[1]]),
        ("GPU-cccc-2", [UUIDS[2]]),
        ("GPU-c,0", [UUIDS[2], UUIDS[0]]),
        ("GPU-a", []),
        ("MIG-x", ["MIG-x"]),
    ],
)
def test_cuda_visible_devices_counts_as_in_cuda(machine, monkeypatch, chosen, visible) -> None:
    """A number that does not exist, or the beginning of two names, ends the list."""
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert visible_gpus() == visible


def test_more_gpus_than_the_machine_has_are_one_line(machine: Path) -> None:
    process = launch("--gpus", "4", "--", "worker", "x", "0", stderr=subprocess.PIPE)
    lines = process.communicate(timeout=20)[1].splitlines()
    assert lines[-1].startswith("error: --gpus: at most the 3 GPUs that this machine shows, not 4; to use the CPU, set")
    assert process.returncode == 2


OLD = "0 (The NVIDIA driver on your system is too old (found version 12020).)"
NEEDS = "PyTorch 2.13.0 is built for CUDA 13.0, which needs driver 580 or newer"


@pytest.mark.parametrize(
    ("asked", "seen", "line"),
    [
        (
            "1",
            "0",
            f"1 GPU asked for, PyTorch can use {OLD}; driver 535.104; {NEEDS}; to use the CPU, set execution.gpus",
        ),
        ("2", "1", f"2 GPUs asked for, PyTorch can use 1; driver 535.104; {NEEDS}; to use the CPU"),
        ("1", "real", f"{no_gpu()}; "),
        ("1", "broken", "nvidia-smi fails: NVIDIA-SMI has failed because; to use the CPU"),
    ],
)
def test_gpus_that_pytorch_cannot_use_are_one_line_and_no_work_on_the_cpu(machine, monkeypatch, asked, seen, line):
    monkeypatch.setenv("SEEN", seen if seen.isdigit() else "3")
    if seen == "real":
        (machine / "torch.py").unlink()
    if seen == "broken":
        install(machine, "nvidia-smi", "echo NVIDIA-SMI has failed because; exit 9")
    process = launch("--gpus", asked, "--log", "x-1.log", "--", "worker", "story", "0", stderr=subprocess.PIPE)
    lines = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 2 and not Path("story").exists()
    assert [text for text in lines if text.startswith("error: ") and line in text] == lines[-1:]
    record = records.read_record(records.record_path(Path("x-1.log")))
    assert record["state"] == records.State.FAILED and record["refused"] and line in record["error"]


@pytest.mark.parametrize("processes", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_gpu_with_too_little_memory_is_one_line_with_what_helps(machine: Path, processes: str) -> None:
    (machine / "torch.py").unlink()
    options = ["--processes", processes, "--log", "x-1.log"]
    process = launch(*options, "--", "ender", "gpu", stderr=subprocess.PIPE)
    error = process.communicate(timeout=100)[1]
    assert process.returncode == 2 and records.read_record(records.record_path(Path("x-1.log")))["refused"]
    assert "error: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has" in error
    assert "lower execution.micro_batch or set execution.checkpointing: true" in error
    assert "Traceback" not in error or processes == "2", "torchrun prints one of its own"


@pytest.mark.parametrize(("count", "gpus"), [("1", "1"), ("0", "")])
def test_without_nvidia_smi_nothing_is_leased_and_a_schedulers_choice_stays(machine, monkeypatch, count, gpus) -> None:
    (machine / "bin" / "nvidia-smi").unlink()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert visible_gpus() == []
    assert launch("--gpus", count, "--", "worker", "story", "0").wait(20) == 0
    assert (machine / "story").read_text().splitlines()[0].split()[2:] == ([gpus] if gpus else [])
    assert not list(machine.glob("bright-gpus-*"))


@pytest.mark.parametrize(
    ("how", "code", "state"),
    [
        ("0", 0, records.State.DONE),
        ("2", 2, records.State.FAILED),
        ("kill", 137, records.State.OUT_OF_MEMORY),
        ("allocate", 137, records.State.OUT_OF_MEMORY),
        ("torch", 137, records.State.OUT_OF_MEMORY),
        ("143", 143, records.State.INTERRUPTED),
    ],
)
def test_the_end_of_a_stage_is_passed_on_and_recorded(machine: Path, how: str, code: int, state: records.State) -> None:
    process = launch("--memory", "3000", "--log", "x-1.log", "--", "ender", how, stderr=subprocess.DEVNULL)
    assert process.wait(60) == code
    path = records.record_path(Path("x-1.log"))
    record = records.read_record(path)
    assert record["state"] == state and record["limit_mb"] == 3000 and 5 < record["peak_mb"] < 3000
    assert record["cpu_seconds"] > 0 and 0 < record["seconds"] < 60 and record["gpus"] == 0
    assert ("MemoryError" in record.get("error", "")) == (how == "allocate"), "the stage's own entry stays"
    assert records.request_mb(path, 1000) == (6000 if state == records.State.OUT_OF_MEMORY else 3000)


def test_the_peak_is_not_that_of_the_parent_process() -> None:
    peak = "from bright_pipeline.engine.records import used; print(used()['peak_mb'])"
    large = f"import subprocess, sys; held = b'x' * (400 << 20); subprocess.run([sys.executable, '-c', {peak!r}])"
    said = subprocess.run([sys.executable, "-c", large], capture_output=True, text=True, check=True).stdout
    assert 5 < int(said) < 300


def test_memory_is_that_of_all_descendants_and_those_that_ended_have_none() -> None:
    hold = f"{sys.executable} -c 'import sys; held = b\"x\" * (100 << 20); print(flush=True); sys.stdin.read()'; true"
    shell = subprocess.Popen(["sh", "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert shell.stdout is not None and shell.stdout.readline()
    (own, *others) = processes = records.process_tree()
    mine = {each.pid for each in others if shell.pid in (each.pid, each.ppid())}
    assert own.pid == os.getpid() and len(mine) == 2, "the shell, and the Python that it started"
    held = [each for each in processes if each.pid in mine]
    assert 100 < records.resident_mb(held) < 200
    shell.communicate()
    assert records.resident_mb(held) == 0


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_sigterm_to_the_launcher_ends_all_with_143(machine: Path, processes: int) -> None:
    (machine / "bin" / "nvidia-smi").unlink()
    (machine / "torch.py").unlink()
    options = ["--processes", str(processes), "--log", "x-1.log"]
    process = launch(*options, "--", "ender", "wait", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(processes)] == ["ready\n"] * processes
    process.terminate()
    assert process.wait(30) == 143
    assert records.read_record(records.record_path(Path("x-1.log")))["state"] == records.State.INTERRUPTED


@pytest.mark.parametrize(
    ("state", "share", "asks"),
    [
        ("running", records.NEAR_LIMIT, 2000),  # vanished near its limit
        ("running", records.NEAR_LIMIT - 0.1, 1000),  # vanished otherwise: a node that died
        *((state, 1.0, 1000) for state in ("interrupted", "failed", "done")),
        ("out of memory", 0.1, 2000),
    ],
)
def test_only_a_job_that_ran_out_of_memory_asks_for_more(tmp_path: Path, state: str, share: float, asks: int) -> None:
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"state": state, "limit_mb": 1000, "peak_mb": share * 1000}))
    assert (records.request_mb(record, 800), records.request_mb(record, 5000)) == (asks, 5000)
    record.write_text("{")
    assert records.request_mb(record, 7) == records.request_mb(tmp_path / "none.json", 7) == 7


PROGRAMS = {
    "squeue": 'case "$*" in *%N*) echo "node[3-4]";; *State,RestartCnt*) cat state; echo >> looked;; esac',
    "scontrol": """[ "$1" = requeue ] && echo "$*" >> asked
[ "$*" = "show hostnames node[3-4]" ] && printf "node3\\nnode4\\n"
true""",
    "srun": """case "$*" in *engine.gpus*) exit 0;; esac
echo $$ > srun.pid
trap 'echo srun kills its step >> asked' TERM
trap 'exit 1' USR1
echo ready
while true; do sleep 0.05; done""",
    "scancel": 'echo "$*" >> asked; kill -USR1 "$(cat srun.pid)"',
}


@pytest.fixture
def job(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine in the Slurm job 20007 on two nodes; `asked` contains the requests to Slurm."""
    (machine / "bin" / "nvidia-smi").unlink()
    for name, script in PROGRAMS.items():
        install(machine, name, script)
    (machine / "state").write_text("RUNNING             0\n")
    monkeypatch.setenv("SLURM_JOB_ID", "20007")
    return machine


def asked(job: Path) -> list[str]:
    return (job / "asked").read_text().splitlines() if (job / "asked").exists() else []


def test_one_process_is_the_stage_and_several_are_torchruns(monkeypatch: pytest.MonkeyPatch) -> None:
    single = [sys.executable, "-m", "bright_pipeline.x", "--option"]
    assert command(single[2:], 1) == single
    several = command(single[2:], 3)
    assert several[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert {"--nproc-per-node=3", "--standalone"} <= set(several) and several[-4:] == ["-m", "--", *single[2:]]
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(InputError, match="Slurm"):
        command(single[2:], 4, nodes=2)


def test_several_nodes_have_their_own_processes_and_connect_to_the_first(job: Path) -> None:
    commands = [command(["bright_pipeline.x"], 4, nodes=2) for _ in range(4)]
    assert commands[0][0] == "srun" and {"--nodes=2", "--ntasks-per-node=1"} <= set(commands[0])
    assert {"--nnodes=2", "--nproc-per-node=4", "--rdzv-id=20007"} <= set(commands[0])
    ports = {word for words in commands for word in words if word.startswith("--rdzv-endpoint=node3:")}
    assert len(ports) > 1, "two trainings on one node use different ports"
    install(job, "squeue", "echo 'slurm_load_jobs error: Invalid job id' >&2; exit 1")
    with pytest.raises(InputError, match=r"job 20007: unknown to squeue .*Invalid job id"):
        command(["bright_pipeline.x"], 1, nodes=2)


@pytest.mark.parametrize("state", ["", "COMPLETING 1", "PENDING 1", "RUNNING 1"])
def test_sigterm_goes_to_the_processes_on_all_nodes_unless_the_next_attempt_has_begun(job: Path, state: str) -> None:
    """Not to srun, which would kill them."""
    options = ["--log", "x-1.log", "--requeue", "--gpus", "1", "--nodes", "2"]
    process = launch(*options, "--", "bright_pipeline.x", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    if state:
        (job / "state").write_text(f"{state}\n")
        (job / "x-1.json").write_text('{"state": "interrupted", "done": 3}')
    process.terminate()
    if state:
        wait_for(lambda: len((job / "looked").read_text()) > 1, 60, "it did not ask for the running attempt")
        os.kill(int((job / "srun.pid").read_text()), signal.SIGUSR1)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert asked(job) == ([] if state else ["--signal=TERM 20007"])
    assert records.read_record(job / "x-1.json")["state"] == records.State.INTERRUPTED


@pytest.mark.parametrize(
    ("how", "later", "option", "requeues"),
    [
        ("step", "RUNNING 0", ["--requeue"], True),
        ("no step", "RUNNING 0", ["--requeue"], False),
        ("step", "COMPLETING 0", ["--requeue"], False),
        ("step", "RUNNING 1", ["--requeue"], False),
        ("step", "RUNNING 0", [], False),
    ],
)
def test_a_running_job_is_requeued_if_it_made_progress(job, how, later, option, requeues) -> None:
    (job / "later").write_text(f"{later}\n")
    (job / "x-1.json").write_text('{"state": "interrupted", "done": 3}')
    process = launch("--log", "x-1.log", *option, "--", "ender", how, stderr=subprocess.DEVNULL)
    assert process.wait(60) == 143
    assert asked(job) == (["requeue 20007"] if requeues else [])


def test_cores_are_the_jobs_and_processes_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the CPU affinity, or of the allocation where Slurm sets no affinity."""
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(12)))
    monkeypatch.delenv("SLURM_CPUS_ON_NODE", raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert (cores(), own_cores()) == (12, 12)
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "8")
    for processes, share in (("2", 4), ("16", 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert (cores(), own_cores()) == (8, share)
