"""Each module of the project is in the digest of some result, or cannot change a number for a reason given here."""

from pathlib import Path

import pytest

from pipeline.base.code import PROJECT, is_excluded
from pipeline.config.root import read_config
from pipeline.families import AUTOENCODERS, GENERATORS, GeneratorFamily, find_family
from pipeline.plan.shards import planned
from pipeline.stages import all_stages
from pipeline.stages.common import Jobs

REPOSITORY = Path(__file__).parents[2]
# Modules that no stage's command imports, except through modules that are excluded for a reason of their own.
NOT_REACHED = {
    "pipeline.base.canonical": "the digest itself",
    "pipeline.base.code": "the digest itself",
    "pipeline.base.heartbeat": "imported by the command line alone",
    "pipeline.base.launch": "starts a stage's processes; each then compares its own code",
    "pipeline.data.embedded": "a folder of pictures, which are in digests by sha256",
    "pipeline.generation.exported": "for `bright export` and Python sessions",
    "pipeline.page.model_card": "for `bright export`",
}
PACKAGES_NOT_REACHED = {"pipeline.estimation": "for `bright estimate` and warnings"}
BY_LAUNCHER = {"pipeline.base.slurm"}


def test_every_module_is_in_a_digest_or_cannot_change_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    jobs = Jobs(read_config(Path("config/demo-all.yaml")))
    roots = {root for job in jobs(planned).values() for root in job.code_roots}
    roots |= {stage.command for stage in all_stages().values()}
    for family in map(find_family, (*AUTOENCODERS, *GENERATORS)):
        task = (family.task.partition(":")[0],) if isinstance(family, GeneratorFamily) else ()
        roots |= {*family.code, *task}
    covered = {module.name for module in PROJECT.closure(sorted(roots))}
    paths = (path.with_suffix("") for path in Path("pipeline").rglob("*.py"))
    modules = {".".join(path.parts).removesuffix(".__init__") for path in paths}
    left = {name for name in modules - covered if not is_excluded(name)}
    left -= {name for name in left if any(name.startswith(package) for package in PACKAGES_NOT_REACHED)}
    assert left == NOT_REACHED.keys() | BY_LAUNCHER
    assert {"pipeline.models.triton_kernels", "pipeline.figures.codes", "pipeline.foreign.unets"} <= covered
