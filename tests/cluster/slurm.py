"""Debian's Slurm on this machine, for a test session: a controller, one node, two GPUs that are none.

It needs root, and a mount namespace, in which its configuration lies where Slurm looks for it: job steps ask
nowhere else. No database, no munge, no cgroups; memory limits are kept by polling.
"""

import os
import socket
import stat
import subprocess
from pathlib import Path

from daemons import Unavailable, free_ports, install, wait_for

DEFAULT_FOLDER = Path("/etc/slurm")
GPUS = 2

SLURM_CONF = """
ClusterName=ci
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/slurm
CredType=cred/slurm
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
MpiDefault=none
ReturnToService=2
MinJobAge=300
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,batch_sched_delay=0
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

GRES_CONF = """
AutoDetect=off
NodeName={host} Name=gpu File={folder}/fakegpu[0-{last}]
"""


class Cluster:
    """A running Slurm. `stop` ends what it started."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        install("Slurm", "slurm-wlm", "slurmctld", "slurmd")
        self._configure()
        self.namespace = self._namespace()
        self._start("slurmctld", "-D")
        self._start("slurmd", "-D", "-N", socket.gethostname())
        wait_for(lambda: self.call("sinfo", "--noheader", "--format=%T") == "idle", 60, "the node did not come up")

    def inside(self, folder: Path) -> list[str]:
        """What stands before a command so that it runs in `folder` and sees this Slurm."""
        return ["nsenter", f"--mount=/proc/{self.namespace.pid}/ns/mnt", f"--wd={folder}", "--"]

    def call(self, *command: str) -> str:
        """What one of Slurm's commands says."""
        words = [*self.inside(self.folder), *command]
        return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()

    def running(self) -> list[str]:
        """Ids of running jobs."""
        return self.call("squeue", "--noheader", "--states=RUNNING", "--format=%A").split()

    def hurry(self) -> None:
        """Start what waits: Slurm lets two minutes pass before it starts a requeued job."""
        for job in self.call("squeue", "--noheader", "--states=PENDING", "--format=%A").split():
            self.call("scontrol", "update", f"JobId={job}", "StartTime=now")

    def stop(self) -> None:
        """End its jobs, then its own processes."""
        jobs = self.call("squeue", "--noheader", "--format=%A").split()
        if jobs:
            self.call("scancel", *jobs)
            wait_for(lambda: not self.call("squeue", "--noheader", "--format=%A"), 60, "jobs did not end")
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(30)

    def _configure(self) -> None:
        for name in ("etc", "state", "spool"):
            (self.folder / name).mkdir(parents=True)
        controller_port, node_port = free_ports(2)
        values = {
            "host": socket.gethostname(),
            "folder": self.folder,
            "gpus": GPUS,
            "last": GPUS - 1,
            "controller_port": controller_port,
            "node_port": node_port,
        }
        etc = self.folder / "etc"
        (etc / "slurm.conf").write_text(SLURM_CONF.format(**values))
        (etc / "gres.conf").write_text(GRES_CONF.format(**values))
        (etc / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        (etc / "slurm.key").write_bytes(os.urandom(1024))
        (etc / "slurm.key").chmod(0o600)
        for gpu in range(GPUS):
            os.mknod(self.folder / f"fakegpu{gpu}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # /dev/null's numbers

    def _namespace(self) -> subprocess.Popen[bytes]:
        """A process that holds the mount namespace open."""
        script = f"mount --bind '{self.folder}/etc' {DEFAULT_FOLDER} && echo ready && exec sleep infinity"
        process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE)
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise Unavailable("no Slurm: mount namespaces are not allowed here")
        self.processes.append(process)
        return process

    def _start(self, *command: str) -> None:
        log = (self.folder / f"{command[0]}.out").open("wb")
        words = [*self.inside(self.folder), *command]
        self.processes.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
