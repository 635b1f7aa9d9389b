"""The launcher in a Slurm job, with simulated programs of Slurm: several nodes, and requeueing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from daemons import wait_for

from pipeline.base.errors import InputError
from pipeline.base.launch import command
from pipeline.base.process import cores, own_cores
from pipeline.base.records import State, read_record

PROGRAMS = {
    "squeue": 'case "$*" in *%N*) echo "node[3-4]";; *State,RestartCnt*) cat state; echo >> looked;; esac',
    "scontrol": """[ "$1" = requeue ] && echo "$*" >> asked
[ "$*" = "show hostnames node[3-4]" ] && printf "node3\\nnode4\\n"
true""",
    "srun": """echo $$ > srun.pid
trap 'echo srun kills its step >> asked' TERM
trap 'exit 1' USR1
echo ready
while true; do sleep 0.05; done""",
    "scancel": 'echo "$*" >> asked; kill -USR1 "$(cat srun.pid)"',
}
# Makes so many steps, then ends as after SIGTERM.
STAGE = """
import os
import sys
from pipeline.base.command import LogOption, run_stage
from pipeline.base.progress import Progress, log_to
def stage(steps: int, log: LogOption = None) -> None:
    log_to(log)
    with Progress("train", 9, "steps", 3) as progress:
        progress.advance(steps)
        os.replace("later", "state")
        sys.exit(143)
run_stage(stage)
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the Slurm job 20007 on two nodes; `asked` has what Slurm was asked to do."""
    (tmp_path / "bin").mkdir()
    for name, script in PROGRAMS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "state").write_text("RUNNING             0\n")
    (tmp_path / "goes.py").write_text(STAGE)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}")
    monkeypatch.setenv("SLURM_JOB_ID", "20007")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def launched(*arguments: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "pipeline.base.launch", "--log", "x-1.log", *arguments]
    return subprocess.Popen(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def asked(job: Path) -> list[str]:
    return (job / "asked").read_text().splitlines() if (job / "asked").exists() else []


def test_one_process_is_the_stage_and_several_are_torchruns(monkeypatch: pytest.MonkeyPatch) -> None:
    single = [sys.executable, "-m", "pipeline.x", "--option"]
    assert command(single[2:], gpus=0) == command(single[2:], gpus=1) == single
    several = command(single[2:], gpus=3)
    assert several[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert "--nproc-per-node=3" in several and "--standalone" in several
    assert several[-4:] == ["-m", "--", *single[2:]]
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(InputError, match="Slurm"):
        command(single[2:], gpus=4, nodes=2)


@pytest.mark.parametrize(("gpus", "per_node"), [(4, 4), (0, 1)])
def test_several_nodes_have_their_own_processes_and_connect_to_the_first(job: Path, gpus: int, per_node: int) -> None:
    words = command(["pipeline.x"], gpus, nodes=2)
    assert words[0] == "srun" and {"--nodes=2", "--ntasks-per-node=1"} <= set(words)
    assert {"--nnodes=2", f"--nproc-per-node={per_node}", "--rdzv-id=20007"} <= set(words)

    commands = (command(["pipeline.x"], gpus, nodes=2) for _ in range(4))
    ports = {word for words in commands for word in words if word.startswith("--rdzv-endpoint=node3:")}
    assert len(ports) > 1, "two trainings on one node use different ports"
    (job / "bin" / "squeue").write_text("#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id' >&2; exit 1\n")
    with pytest.raises(InputError, match=r"job 20007: unknown to squeue .*Invalid job id"):
        command(["pipeline.x"], 1, nodes=2)


def test_sigterm_goes_to_the_processes_on_all_nodes_and_not_to_srun_which_would_kill_them(job: Path) -> None:
    process = launched("--gpus", "1", "--nodes", "2", "--", "pipeline.x")
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert asked(job) == ["--signal=TERM 20007"]
    assert read_record(job / "x-1.json")["state"] == State.INTERRUPTED


@pytest.mark.parametrize("state", ["COMPLETING 1", "PENDING 1", "RUNNING 1"])
def test_a_launcher_that_outlives_its_attempt_does_not_disturb_the_next(job: Path, state: str) -> None:
    process = launched("--requeue", "--gpus", "1", "--nodes", "2", "--", "pipeline.x")
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    (job / "state").write_text(f"{state}\n")
    (job / "x-1.json").write_text('{"state": "interrupted", "done": 3}')
    process.terminate()
    wait_for(lambda: len((job / "looked").read_text()) > 1, 60, "it did not ask for the running attempt")
    os.kill(int((job / "srun.pid").read_text()), signal.SIGUSR1)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert asked(job) == []


@pytest.mark.parametrize(
    ("steps", "later", "option", "requeues"),
    [
        (1, "RUNNING 0", ["--requeue"], True),
        (0, "RUNNING 0", ["--requeue"], False),
        (1, "COMPLETING 0", ["--requeue"], False),
        (1, "RUNNING 1", ["--requeue"], False),
        (1, "RUNNING 0", [], False),
    ],
)
def test_a_running_job_is_requeued_if_it_made_progress(
    job: Path, steps: int, later: str, option: list[str], requeues: bool
) -> None:
    (job / "later").write_text(f"{later}\n")
    (job / "x-1.json").write_text('{"state": "interrupted", "done": 3}')
    process = launched(*option, "--", "goes", str(steps))
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert asked(job) == (["requeue 20007"] if requeues else [])


def test_cores_are_the_jobs_and_processes_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(12)))
    monkeypatch.delenv("SLURM_CPUS_ON_NODE", raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert (cores(), own_cores()) == (12, 12), "the CPU affinity"
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert (cores(), own_cores()) == (8, 4), "the allocation, where Slurm sets no affinity"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert own_cores() == 1
