"""The workflow on the session's Slurm."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemons.slurm import Cluster
from forkserver import REAL_PROCESSES
from safetensors import safe_open
from tiny_workflow import REPOSITORY, Run, Workflow

PROFILE = REPOSITORY / "profiles" / "slurm"
SNAKEMAKE = Path(__file__).with_name("impatient_snakemake.py")
# What a site writes into the profile, or types; this Slurm has no accounts and no database.
SITE = ("--slurm-no-account", "--slurm-status-command", "squeue")
TRAIN = ("--until", "train_autoencoder")
PATIENCE_S = 600.0


class ClusterWorkflow(Workflow):
    """A folder in which the workflow runs, here or on the cluster."""

    def __init__(self, folder: Path, cluster: Cluster, checkout: Path = REPOSITORY):
        super().__init__(folder, checkout)
        self.cluster = cluster

    def command(self, *arguments: str) -> list[str]:
        """Snakemake on the cluster, with its profile."""
        command = [*self.cluster.inside(self.folder), sys.executable, str(SNAKEMAKE), "--configfile", "config.yaml"]
        command += ["--snakefile", str(self.checkout / "Snakefile"), "--workflow-profile", str(PROFILE), *SITE]
        return [*command, *arguments]

    def submit(self, *arguments: str, **environment: str) -> Run:
        """Run the workflow on the cluster; Slurm can only watch and end REAL_PROCESSES, not forks."""
        return self.call(*self.command(*arguments), **environment)

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A run on the cluster during the block; it must end well by itself."""
        output = self.folder / "output.txt"
        with output.open("wb") as file:
            environment = self.environment() | REAL_PROCESSES
            command, streams = self.command(*arguments), {"stdout": file, "stderr": file}
            process = subprocess.Popen(command, cwd=self.folder, env=environment, start_new_session=True, **streams)
        try:
            yield process
            until = time.monotonic() + PATIENCE_S
            while process.poll() is None:
                assert time.monotonic() < until, self.state(output)
                self.cluster.hurry()
                time.sleep(1)
            assert process.returncode == 0, self.state(output)
        finally:
            process.kill()
            process.wait()

    def state(self, output: Path) -> str:
        """What Snakemake, Slurm and the training's log say of a run that did not end well."""
        nodes = self.cluster.call("sinfo", "--Node", "--long")
        return "\n".join((output.read_text()[-2000:], self.job(), nodes, self.log("train_autoencoder")[-3000:]))

    def job(self) -> str:
        """Slurm's facts about the last submitted job, in one line."""
        said = "".join(path.read_text() for path in sorted((self.folder / ".snakemake" / "log").glob("*.log")))
        number = re.findall(r"SLURM jobid (\d+)", said)[-1]
        return self.cluster.call("scontrol", "--oneliner", "show", "job", number)

    def log(self, stage: str) -> str:
        """The logs of a stage's jobs."""
        return "".join(path.read_text() for path in sorted((self.folder / "results" / "logs").glob(f"{stage}-*.log")))

    def weights(self) -> bytes:
        return self.path("results/store/autoencoders/*/autoencoder.safetensors").read_bytes()

    def saved_step(self) -> int:
        """The last step of the saved state, 0 before the first."""
        states = list((self.folder / "results" / "work").glob("*/state.safetensors"))
        if not states:
            return 0
        with safe_open(states[0], framework="pt") as file:  # not the history, which is saved before the state
            tree = json.loads(file.metadata()["tree"])
        return int(dict(tree["dict"])["step"]["value"])

    def resumed_step(self) -> int:
        """The step at which the last attempt resumed, 0 before; Snakemake deletes the logs of earlier attempts."""
        found = re.search(r"resumed at step (\d+)", self.log("train_autoencoder"))
        return int(found[1]) if found else 0
