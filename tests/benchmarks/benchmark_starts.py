"""The cost of starting each stage: CPU seconds of `--help`, and of a job with almost nothing to do.

    python tests/benchmarks/benchmark_starts.py [--beside CHECKOUT] [--repeats 3]

The jobs are one of each stage of the tiny run, by hand, again and again after the run: a training finds that it has
ended, the others have some dozen tiny images. With another checkout, such as the code of yesterday in a git worktree,
its stages take turns with this one's. Medians; other work on the machine lengthens them a little.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from original_first_stage import VQ_F4, Random, random_network

REPOSITORY = Path(__file__).parents[2]
WORKFLOW = REPOSITORY / "tests" / "workflow"
NETWORK = "efficientnet_lite0"
GENERATOR = "stylegan2"

PLAN = """
import json
from pathlib import Path
from pipeline.config.root import read_config
from pipeline.plan.arguments import commands
from pipeline.plan.shards import ordered
from pipeline.stages import all_stages
from pipeline.stages.common import Jobs
jobs = reversed(ordered(Jobs(read_config(Path("config.yaml")))))
print(json.dumps([list(all_stages()), {job.stage.name: commands(job)[0] for job in jobs}]))
"""
"""A program that names all stages and the command of the first job of each."""


class Checkout:
    """A checkout of the project with a finished tiny run of its own."""

    def __init__(self, path: Path, folder: Path, networks: Path):
        self.path, self.folder = path.resolve(), folder
        (folder / "results").mkdir(parents=True)
        (folder / "results" / "networks").symlink_to(networks.resolve())
        (folder / "config.yaml").write_text(yaml.safe_dump(tiny_config(), sort_keys=False), encoding="utf-8")
        snakemake = ["-m", "snakemake", "--snakefile", str(self.path / "Snakefile"), "--cores", "2"]
        self.say(*snakemake, "--quiet", "all", "--configfile", "config.yaml")
        self.stages, self.jobs = json.loads(self.say("-c", PLAN))
        self.jobs["fetch_network"] = ["pipeline.fetch_network", NETWORK, "--output", f"{NETWORK}.safetensors"]
        self.jobs["import_weights"] = ["pipeline.import_weights", foreign_autoencoder(folder), "--weights", "imported"]

    def say(self, *arguments: str) -> str:
        """What a Python of this checkout says."""
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    @property
    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "PYTHONPATH": str(self.path)}

    def cpu_seconds(self, command: list[str]) -> float:
        """Of a stage's command, over all of its threads and processes."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([sys.executable, "-m", *command], cwd=self.folder, env=self.environment, **quiet)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"exit code {process.returncode}: {' '.join(command)}")
        return used.ru_utime + used.ru_stime


def tiny_config() -> dict[str, Any]:
    """The tiny run's config, with a generator."""
    values, families = (
        yaml.safe_load((WORKFLOW / name).read_text(encoding="utf-8")) for name in ("tiny.yaml", "families.yaml")
    )
    values["generators"] = {GENERATOR: families["generators"][GENERATOR]}
    values["samples"][GENERATOR] = families["samples"][GENERATOR]
    values["tables"]["table5"]["rows"].append(GENERATOR)
    return values


def foreign_autoencoder(folder: Path) -> str:
    """Writes the checkpoint of a small autoencoder of another program; returns the settings that import it."""
    random = Random(0)
    random_network(random, VQ_F4 | {"ch": 32, "resolution": 32}, 3)
    random.weights["quantize.embedding.weight"] = random.normal(40, 3)
    torch.save({"state_dict": random.weights}, folder / "vqgan.ckpt")
    network = {"channels": 32, "multipliers": [1, 2, 4], "attention_resolutions": [], "latent_channels": 3}
    weights = {"kind": "ldm_vq", "path": "vqgan.ckpt"}
    model = {"dataset": "any", "family": "vqgan", "code_size": "8x8x3", "network": network, "weights": weights}
    return json.dumps({"autoencoder": model | {"codebook": {"entries": 40}}, "resolution": 32})


def benchmark(
    beside: Annotated[Path | None, typer.Option(help="Another checkout, measured side by side.")] = None,
    repeats: Annotated[int, typer.Option(help="Starts of each.")] = 3,
    networks: Annotated[Path, typer.Option(help="The folder of the metric networks.")] = Path(
        os.environ.get("BRIGHT_NETWORKS", REPOSITORY / "results" / "networks")
    ),
) -> None:
    """Print a line for each stage."""
    with tempfile.TemporaryDirectory() as folder:
        places = [REPOSITORY] if beside is None else [beside, REPOSITORY]
        checkouts = [Checkout(place, Path(folder) / str(number), networks) for number, place in enumerate(places)]
        told = "".join(f"{what:>{8 * len(places)}}" for what in ("--help", "a job"))
        print(f"{'CPU seconds':20}{told}", *(["  (of either first the other checkout's)"] if beside else []))
        for stage in checkouts[-1].stages:
            help_s = _medians([(one, [f"pipeline.{stage}", "--help"]) for one in checkouts], repeats)
            job_s = _medians([(one, one.jobs[stage]) for one in checkouts], repeats)
            print(f"{stage:20}" + "".join(f"{seconds:8.2f}" for seconds in help_s + job_s), flush=True)


def _medians(commands: list[tuple[Checkout, list[str]]], repeats: int) -> list[float]:
    """Of each checkout's command; they take turns."""
    rounds = [[checkout.cpu_seconds(command) for checkout, command in commands] for _ in range(repeats)]
    return [statistics.median(seconds) for seconds in zip(*rounds, strict=True)]


if __name__ == "__main__":
    typer.run(benchmark)
