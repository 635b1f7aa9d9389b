"""The workflow on the session's Slurm."""

import re
import sys
from pathlib import Path

from slurm import Cluster

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from tiny_workflow import REPOSITORY, Run, Workflow

TINY = Path(__file__).with_name("tiny.yaml")
PROFILE = REPOSITORY / "workflow" / "profiles" / "slurm"
SNAKEMAKE = Path(__file__).with_name("impatient_snakemake.py")
# What a site writes into the profile, or types; here there are no accounts and no database.
SITE = ("--slurm-no-account", "--slurm-status-command", "squeue")


class ClusterWorkflow(Workflow):
    """A folder in which the workflow runs, here or on the cluster."""

    def __init__(self, folder: Path, cluster: Cluster, checkout: Path = REPOSITORY):
        super().__init__(folder, checkout)
        self.cluster = cluster

    def command(self, *arguments: str) -> list[str]:
        """Snakemake on the cluster, through its profile."""
        command = [*self.cluster.inside(self.folder), sys.executable, str(SNAKEMAKE), "--configfile", "config.yaml"]
        command += ["--snakefile", str(self.checkout / "Snakefile"), "--workflow-profile", str(PROFILE), *SITE]
        return [*command, *arguments]

    def submit(self, *arguments: str, **environment: str) -> Run:
        """Run the workflow on the cluster; with REAL_PROCESSES where Slurm is to watch and end them: no fork is its."""
        return self.call(*self.command(*arguments), **environment)

    def job(self) -> str:
        """What Slurm knows of the job that was submitted last, in one line."""
        said = "".join(path.read_text() for path in sorted((self.folder / ".snakemake" / "log").glob("*.log")))
        number = re.findall(r"SLURM jobid (\d+)", said)[-1]
        return self.cluster.call("scontrol", "--oneliner", "show", "job", number)

    def log(self, stage: str) -> str:
        """The logs of a stage's jobs."""
        return "".join(path.read_text() for path in sorted((self.folder / "results" / "logs").glob(f"{stage}-*.log")))
