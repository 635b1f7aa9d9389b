"""What jobs request of a cluster: minutes, GPU memory and a card by their price; comments that people can read."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from tiny_workflow import REPOSITORY, Workflow

pytestmark = pytest.mark.slow

SBATCH = """#!/bin/sh
printf '%s\\n' "$*" >> asked
exit 1
"""
SITE = ("--slurm-no-account", "--slurm-status-command", "squeue", "--retries", "0")


def longer(config: dict[str, Any]) -> None:
    """Beside the tiny run's entries: a training of days, and samples that take a while."""
    config["autoencoders"]["long"] = {"like": "main", "training": {"images": 800_000_000, "batch": 400}}
    sampler = {"kind": "ddpm", "steps": 1000}
    config["samples"]["many"] = {"like": "main", "count": 10**7, "shard": 10**7, "sampler": sampler}
    config["tables"]["table2"].append("long")
    config["tables"]["table5"] |= {"rows": [*config["tables"]["table5"]["rows"], "many"], "count": 32}


def test_minutes_and_cards_follow_the_price(play: Workflow, tmp_path: Path) -> None:
    play.configure(longer)
    play.remove("results/store/features/tiny-validation-*")
    (tmp_path / "sbatch").write_text(SBATCH)
    (tmp_path / "sbatch").chmod(0o755)
    site = tmp_path / "site"
    site.mkdir()
    (site / "config.yaml").write_text(
        'default-resources:\n  - slurm_partition=gpu\n  - cards="rtx3090:24,a100:80"\n  - mem_mb=4000\n'
    )
    profiles = ("--profile", str(REPOSITORY / "profiles" / "slurm"), "--profile", str(site))
    path = f"{tmp_path}:{play.environment()['PATH']}"
    play.run(*profiles, *SITE, expect=1, PATH=path)
    requests = {}
    for line in (play.folder / "asked").read_text().splitlines():
        (comment,) = re.findall(r"--comment rule_(\w+)_wildcards_([a-z]+)", line)
        requests[comment] = shlex.split(line.partition(" --wrap=")[0])
    minutes = {key: int(words[words.index("-t") + 1]) for key, words in requests.items()}
    print(minutes)
    train, generate = minutes["train_autoencoder", "long"], minutes["generate", "many"]
    extract = minutes["extract_features", "tiny"]
    assert extract < generate < train < 24 * 60
    short = [minutes[key] for key in minutes if key[1] not in ("long", "many")]
    assert max(short) <= 30, "no job of the tiny run asks for more"
    assert all("--gpus=rtx3090:1" in words for words in requests.values())
