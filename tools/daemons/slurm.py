"""Debian's Slurm on this machine, for a test session: a controller and two nodes, each with three simulated GPUs.

It needs root and a mount namespace with its own configuration at Slurm's default path (job steps read no other), its
own sockets, and its nodes' names. No database, no munge, no cgroups; memory limits are enforced by polling.
"""

import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from daemons import Unavailable, check_alive, free_ports, install, wait_for

DEFAULT_FOLDER = Path("/etc/slurm")
SOCKETS = ("/run/slurm", "/run/slurmctld")  # shared paths if several Slurms run here
NODES = ("n1", "n2")
GPUS = 3  # of each node

SLURM_CONF = """
ClusterName=ci
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
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
SlurmdTimeout={dead_after}
KillWait=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
NODE = "NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=16 RealMemory=96000 Gres=gpu:{gpus}\n"
GRES = "NodeName={node} Name=gpu File={folder}/{node}-gpu[0-{last}]\n"
DEAD_AFTER_S = 12  # without an answer; 300 by default


class Cluster:
    """A running Slurm. `stop` ends what it started."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        install("Slurm", "slurm-wlm", "slurmctld", "slurmd")
        self._configure()
        self.namespace = self._namespace()
        self.controller = self._start("slurmctld", "-D")
        for node in NODES:
            self.start_node(node)
        self.wait_for_nodes()

    def inside(self, folder: Path) -> list[str]:
        """The prefix of a command that runs in `folder` and uses this Slurm."""
        return ["nsenter", f"--mount=/proc/{self.namespace.pid}/ns/mnt", f"--wd={folder}", "--"]

    def call(self, *command: str) -> str:
        """The output of one of Slurm's commands."""
        words = [*self.inside(self.folder), *command]
        return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()

    def running(self) -> list[str]:
        """Ids of running jobs."""
        return self.call("squeue", "--noheader", "--states=RUNNING", "--format=%A").split()

    def hurry(self) -> None:
        """Start waiting jobs in seconds: Slurm waits two minutes before it starts a requeued job.

        A node that still ends the job's last attempt refuses the next one for good ("credential revoked").
        """
        soon = datetime.now() + timedelta(seconds=10)
        for line in self.call("squeue", "--noheader", "--states=PENDING", "--format=%A %S").splitlines():
            job, start = line.split()
            if start != "N/A" and datetime.fromisoformat(start) > soon:
                self.call("scontrol", "update", f"JobId={job}", "StartTime=now+5")

    def start_node(self, node: str) -> None:
        """Start a node's daemon, also after a failure."""
        self.nodes[node] = self._start("slurmd", "-D", "-N", node)

    def wait_for_nodes(self) -> None:
        """Wait until all nodes accept jobs; a daemon that died during its start is started again."""

        def up() -> bool:
            check_alive(self.controller, self.folder / "slurmctld.out")
            for node, daemon in self.nodes.items():
                if daemon.poll() is not None:
                    self.start_node(node)
            states = self.call("sinfo", "--noheader", "--Node", "--format=%T").split()
            return {"idle", "mixed", "allocated"} >= set(states)

        wait_for(up, 60, "the nodes did not come up")

    @contextmanager
    def crashed(self, node: str) -> Iterator[None]:
        """A node that fails within the block: its daemon is killed, and its processes are suspended.

        As after a power failure, no connection is closed. After the block the node is back.
        """
        tasks = self._tasks(node)
        daemons = [each for task in tasks for each in task.parents() if each.name() == "slurmstepd"]
        silent = list({each.pid: each for each in (*daemons, *tasks)}.values())
        self.nodes[node].kill()
        try:
            for process in silent:
                process.suspend()
            yield
        finally:
            for process in silent:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.nodes[node].wait()
            self.start_node(node)
            self.wait_for_nodes()

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

    def _tasks(self, node: str) -> list[psutil.Process]:
        """The processes of jobs on a node of this Slurm; all nodes are this machine, which may run other Slurms."""
        own = os.readlink(f"/proc/{self.namespace.pid}/ns/mnt")  # noqa: PTH115 - a link to no path
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                here = os.readlink(f"/proc/{process.pid}/ns/mnt") == own  # noqa: PTH115
                if here and process.environ().get("SLURMD_NODENAME") == node:
                    found.append(process)
        return found

    def _configure(self) -> None:
        etc = self.folder / "etc"
        for folder in (etc, self.folder / "state", *(self.folder / f"spool.{node}" for node in NODES)):
            folder.mkdir(parents=True)
        controller_port, *ports = free_ports(1 + len(NODES))
        values = {"host": socket.gethostname(), "folder": self.folder, "gpus": GPUS, "last": GPUS - 1}
        values |= {"controller_port": controller_port, "dead_after": DEAD_AFTER_S}
        nodes = [values | {"node": node, "port": port} for node, port in zip(NODES, ports, strict=True)]
        conf = "".join(NODE.format(**each) for each in nodes) + SLURM_CONF.format(**values)
        (etc / "slurm.conf").write_text(conf)
        (etc / "gres.conf").write_text("AutoDetect=off\n" + "".join(GRES.format(**each) for each in nodes))
        (etc / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        (etc / "slurm.key").write_bytes(os.urandom(1024))
        (etc / "slurm.key").chmod(0o600)
        for node in NODES:
            for gpu in range(GPUS):
                path = self.folder / f"{node}-gpu{gpu}"
                os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # /dev/null's numbers
        names = " ".join(["localhost", socket.gethostname(), *NODES])
        (self.folder / "hosts").write_text(f"127.0.0.1 {names}\n")

    def _namespace(self) -> subprocess.Popen[bytes]:
        """A process that holds the mount namespace open."""
        mounts = [
            f"mount --bind '{self.folder}/etc' {DEFAULT_FOLDER}",
            f"mount --bind '{self.folder}/hosts' /etc/hosts",
        ]
        mounts += [f"mkdir -p {folder} && mount -t tmpfs tmpfs {folder}" for folder in SOCKETS]
        script = " && ".join([*mounts, "echo ready && exec sleep infinity"])
        process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE)
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise Unavailable("no Slurm: mount namespaces are not allowed here")
        self.processes.append(process)
        return process

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{command[0]}.out").open("ab")
        words = [*self.inside(self.folder), *command]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        return process
