"""What the pages say of make's targets and of setting up: which programs they call, with which words.

make is real; the programs that it calls write down how they were called, and do nothing.
"""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from documented import ROOT
from typed import Places, documented

from pipeline.config.root import read_config
from pipeline.plan.shards import planned
from pipeline.stages.common import Jobs

pytestmark = pytest.mark.slow

RECORDED = "PIP_NO_INDEX PIP_FIND_LINKS BRIGHT_DEMO_RUN SOAK_RUNS FUZZ_SECONDS REQUIRE_ALL"
# Writes the call, and what of the environment is for it, into calls.txt; `-m venv FOLDER` makes that folder.
RECORDER = f"""#!/bin/bash
{{
    for name in {RECORDED}; do
        [ -z "${{!name:-}}" ] || printf '%s=%q ' "$name" "${{!name}}"
    done
    printf '%s' "$(basename "$0")"
    [ $# = 0 ] || printf ' %q' "$@"
    echo
}} >> calls.txt
if [ "${{1:-}} ${{2:-}}" = "-m venv" ]; then
    mkdir -p "${{!#}}" && cp -r bin "${{!#}}"
fi
"""
PROGRAMS = (
    "python",
    "python3",
    "python3.12",
    "snakemake",
    "pytest",
    "ruff",
    "snakefmt",
    "mypy",
    "lint-imports",
    "bright",
)
COMPILE = "python -m compileall -q -j 0 -x '/tests?/' .venv/lib"
SETTING_UP = [
    "PYTHON -c \"import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed, see PYTHON=')\"",
    "PYTHON -m venv .venv",
    "python -m pip install --quiet --no-compile --no-deps --require-hashes --requirement workflow/environments/run.txt",
    "python -m pip install --quiet --no-compile --requirement workflow/environments/torch.txt",
    "python -m pip install --quiet --no-compile --no-deps --editable .",
    COMPILE,
]
FOR_TESTS = [SETTING_UP[2].replace("run.txt", "test.txt")]
LINT = [
    *("ruff check .", "ruff format --check .", "snakefmt --check Snakefile workflow", "snakemake --lint", "mypy"),
    *("lint-imports", "bright config --check"),
    "python workflow/environments/lock.py --check",
]


def calls(places: Places, line: str, set_up: bool = True) -> list[list[str]]:
    """What a line calls, as words, in a fresh clone in which those programs are the recorder."""
    place = places.fresh_copy()
    for name in PROGRAMS:
        path = place.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(RECORDER)
        path.chmod(0o755)
    if set_up:
        shutil.copytree(place.folder / "bin", place.folder / ".venv" / "bin")
        for name in (".run", ".test"):
            (place.folder / ".venv" / name).touch()
    line = line.replace("/path/to/python", f"{place.folder}/bin/python")
    place.type(f"unset {RECORDED}; PATH={place.folder}/bin:$PATH; {line}")
    return [shlex.split(call) for call in place.text("calls.txt").splitlines()]


def words(lines: list[str], python: str = "python3") -> list[list[str]]:
    return [shlex.split(line.replace("PYTHON -", f"{python} -")) for line in lines]


def networks() -> list[str]:
    """What fetches the networks that the tests read."""
    names = ("lpips_alex", "lpips_vgg", "efficientnet_lite0")
    return [f"bright fetch_network {name} --output results/networks/{name}.safetensors" for name in names]


@documented(
    "make demo",
    says=(
        "sets everything up, then the embedded images to all tables and figures, on two CPU cores",
        "`make demo` is Snakemake in that environment",
    ),
)
def test_the_demo_is_set_up_and_run_on_two_cores(places: Places, line: str) -> None:
    *setting_up, run = calls(places, line, set_up=False)
    assert setting_up == words(SETTING_UP)
    assert run[:3] == ["snakemake", "--cores", "2"]
    assert places.fresh.look(shlex.join([*run, "-n"])).jobs == places.fresh.look("snakemake -n").jobs != {}


@documented("make demo PYTHON=python3.12 CORES=8", says="chooses another Python and more cores")
def test_the_demo_takes_another_python_and_more_cores(places: Places, line: str) -> None:
    *setting_up, run = calls(places, line, set_up=False)
    assert setting_up == words(SETTING_UP, "python3.12")
    assert run[:3] == ["snakemake", "--cores", "8"]


@documented(
    "make test",
    "make check",
    says=(
        "sets everything up, then all tests; `make check` is the fast part (docs/testing.md)",
        "everything, with a real Slurm, sshd, a bucket and Chromium",
        "for every commit: linters, types, layers, and the fast tests",
        "`CORES=8` runs the tests in eight processes instead of two",
    ),
)
def test_tests_are_set_up_and_run_in_processes(places: Places, line: str) -> None:
    chosen = "not demo" if line == "make test" else "not slow and not demo"
    more = 1 if line == "make test" else 0
    tests = f"pytest --numprocesses {2 + more} --dist loadgroup -m '{chosen}'"
    assert calls(places, line, set_up=False) == words([*SETTING_UP, *FOR_TESTS, *LINT, *networks(), tests])
    assert calls(places, f"{line} CORES=8")[-1] == shlex.split(tests.replace(f"{2 + more}", f"{8 + more}"))


@documented("REQUIRE_ALL=1 make test", says="`REQUIRE_ALL=1 make test` makes each of these a failure")
def test_tests_can_be_required(places: Places, line: str) -> None:
    assert calls(places, line)[-1][:2] == ["REQUIRE_ALL=1", "pytest"]
    assert 'pytest_plugins = ["require_all"]' in (ROOT / "tests/conftest.py").read_text()


@documented(
    "make setup", says="`make setup` installs the versions of `workflow/environments/run.txt`, with their hashes"
)
def test_set_up_takes_the_versions_of_the_lock(places: Places, line: str) -> None:
    assert calls(places, line, set_up=False) == words(SETTING_UP)


@documented("make lint", says="Each imports only what stands below it; `make lint` holds it")
def test_lint_holds_the_layers(places: Places, line: str) -> None:
    assert calls(places, line) == words(LINT)


@documented(
    "make setup PYTHON=/path/to/python3.12",
    says="`Python 3.11 or newer is needed, see PYTHON=` | `make setup PYTHON=/path/to/python3.12`",
)
def test_set_up_takes_another_python(places: Places, line: str) -> None:
    assert calls(places, line, set_up=False) == words(SETTING_UP, "python3.12")


@documented(
    "PIP_NO_INDEX=1 PIP_FIND_LINKS=/path/to/wheels make setup",
    says="On the offline machine, with that folder",
)
def test_set_up_takes_packages_from_a_folder(places: Places, line: str) -> None:
    *_, with_hashes, builds, package, _ = calls(places, line, set_up=False)
    told = ["PIP_NO_INDEX=1", "PIP_FIND_LINKS=/path/to/wheels"]
    assert [with_hashes, builds, package] == [[*told, *shlex.split(install)] for install in SETTING_UP[-4:-1]]


@documented(
    "make lock",
    "make lock UPGRADE=--upgrade",
    says=(
        "what pyproject.toml asks, at the versions that were there where it still allows them",
        "the newest that it allows",
    ),
)
def test_the_locks_are_made_by_uv(places: Places, line: str) -> None:
    uv, lock = calls(places, line)
    assert uv == shlex.split("python -m pip install --quiet --no-compile uv")
    assert lock == ["python", "workflow/environments/lock.py", *line.partition("UPGRADE=")[2].split()]


@documented("make test-newest", says="all tests in an environment of its own with the newest versions")
def test_the_newest_versions_are_tested_in_an_environment_of_their_own(places: Places, line: str) -> None:
    make, install, tests = calls(places, line)[-3:]
    assert make == ["python3", "-m", "venv", "--clear", ".venv-newest"]
    assert install == ["python", *shlex.split("-m pip install --quiet --upgrade --editable .[test,slurm]")]
    assert tests == shlex.split("pytest --numprocesses 3 --dist loadgroup -m 'not demo'")


@documented("source .venv/bin/activate", says=("is what you will type", "`source .venv/bin/activate` first"))
def test_the_environment_has_snakemake_and_the_package(places: Places, line: str) -> None:
    place = places.fresh_copy()
    place.call("python3", "-m", "venv", "--without-pip", ".venv")
    for name in ("snakemake", "bright"):
        place.folder.joinpath(".venv", "bin", name).symlink_to("python")
    found = place.type(f"{line}\ncommand -v snakemake bright python").text.split()
    assert found == [f"{place.folder}/.venv/bin/{name}" for name in ("snakemake", "bright", "python")]


@documented(
    "make demo-all",
    says=(
        "results/demo-all: the tables with a measured row for every family, section 3.4 measured",
        "what `make demo` made is not made again",
    ),
)
def test_the_demo_with_all_families_makes_what_the_demo_did_not(places: Places, line: str) -> None:
    run, told = calls(places, line)
    assert told == shlex.split("bright document config/demo-all.yaml docs/other-systems.md")
    jobs = places.fresh.look(shlex.join([*run, "-n"])).jobs
    assert jobs["measure_codes"] > 1
    assert jobs["train_generator"] > 1
    config = Path(run[run.index("--configfile") + 1])
    demo, everything = (Jobs(read_config(ROOT / file)) for file in ("config/demo.yaml", config))
    assert everything.config.run == "demo-all"
    again = {job.stage.name for key, job in demo(planned).items() if key not in everything(planned)}
    assert again <= {"complexity", "make_table", "make_figure", "make_report"}
    families = {entry.family for entry in everything.config.autoencoders.values()}
    assert families >= {"bright", "vqgan", "rqvae", "kl"}


@documented(
    "make demo-colour",
    says=(
        "results/demo-colour: the tables and figures of the comparison in colour",
        "VQGAN, RQ-VAE, a KL autoencoder and latent diffusion on the codes of each",
    ),
)
def test_the_comparison_in_colour_has_latent_diffusion_on_every_familys_codes(places: Places, line: str) -> None:
    run, told = calls(places, line)
    assert told == shlex.split("bright document config/demo-colour.yaml docs/colour.md")
    jobs = places.fresh.look(shlex.join([*run, "-n"])).jobs
    assert jobs["train_autoencoder"] == jobs["train_diffusion"] == 4
    config = read_config(ROOT / run[run.index("--configfile") + 1])
    assert config.run == "demo-colour"
    assert {entry.family for entry in config.autoencoders.values()} == {"bright", "vqgan", "rqvae", "kl"}
    assert {entry.autoencoder for entry in config.diffusions.values()} == config.autoencoders.keys()


@documented(
    "make comparison",
    says="results/comparison: the study, quality at equal budgets, ablations, curves; hours on two cores",
)
def test_the_comparison_has_one_loss_and_one_search_for_every_family(places: Places, line: str) -> None:
    run, told = calls(places, line)
    assert told == shlex.split("bright document config/comparison.yaml docs/comparison.md")
    jobs = places.fresh.look(shlex.join([*run, "-n"])).jobs
    config = read_config(ROOT / run[run.index("--configfile") + 1])
    trials = {  # a trial that two studies share is trained once
        (
            name,
            study.tuning,
            str({**config.autoencoders[name].training.model_dump(), **changes, "images": study.images}),
        )
        for study in config.studies.values()
        for name in study.autoencoders
        for changes in study.grid.combinations()
    }
    assert jobs["train_autoencoder"] == len(trials) + len(config.autoencoders) * len(config.training_seeds)
    assert jobs["make_study"] == len(config.studies) > 1
    assert {tuple(study.autoencoders) for study in config.studies.values()} == {
        ("bright", "vqgan", "rqvae", "kl"),
        tuple(config.tables_or_default.equal_budget[8:]),
    }
    compared = [config.autoencoders[name] for name in config.tables_or_default.equal_budget]
    assert len({one.training.images for one in compared}) == 1
    equal, own, otherwise = compared[:4], compared[4:8], compared[8:]
    for block in (equal, own):
        assert [one.family for one in block] == ["bright", "vqgan", "rqvae", "kl"]
    assert [one.family for one in otherwise] == ["vqgan", "rqvae", "kl"]
    of_all = {one.losses.model_dump_json(exclude={"adversarial", "kl_weight"}) for one in [*equal, *otherwise]}
    assert len(of_all) == 1 and {one.losses.adversarial.kind for one in [*equal, *otherwise]} == {"none"}
    assert [one.training.model_dump(exclude={"discriminator_learning_rate"}) for one in equal] == [
        one.training.model_dump(exclude={"discriminator_learning_rate"}) for one in own
    ]


@documented("make bars", says="`make bars` holds the demo against the bars")
def test_the_demos_bars(places: Places, line: str) -> None:
    assert calls(places, line) == words(["pytest -rP tests/demo/test_bars.py -m demo"])
    bars = (ROOT / "tests/demo/test_bars.py").read_text()
    for shown in re.findall(r"\| at (?:least|most) ([\d.]+)", (ROOT / "docs" / "results.md").read_text()):
        assert shown in bars


@documented(
    "make bars-all",
    says=(
        "what each of them learned, against its own untrained network",
        "`make bars-all` wants at most 0.6",
    ),
)
def test_the_families_bars(places: Places, line: str) -> None:
    assert calls(places, line) == words(["pytest -rP tests/demo/test_family_bars.py -m demo"])
    assert "0.6" in (ROOT / "tests/demo/test_family_bars.py").read_text()


@documented("make second-seed", says="`make second-seed` holds another training seed against the same bars")
def test_a_second_seed_is_held_against_the_same_bars(places: Places, line: str) -> None:
    run, bars = calls(places, line)
    assert run == words(["snakemake --cores 2 --config run=demo-second-seed seed=1 -- headline"])[0]
    assert bars == ["BRIGHT_DEMO_RUN=demo-second-seed", *calls(places, "make bars")[0]]


SOAKS = ("tests/workflow/test_soak.py", "tests/workflow/test_two_runs.py", "tests/slow/test_resume.py")


@documented(
    "make soak",
    says=(
        "`make soak` disturbs twenty runs of a tiny config five times each",
        "twenty runs, each disturbed five times and started again, end with the files of an undisturbed one",
    ),
)
def test_the_soak_is_twenty_runs(places: Places, line: str) -> None:
    *_, soak = calls(places, line)
    assert soak == ["SOAK_RUNS=20", "pytest", "-rP", *SOAKS]
    for path in SOAKS:
        assert 'environ.get("SOAK_RUNS"' in (ROOT / path).read_text()


@documented("make fuzz", says="ten minutes of bytes that were right once, for everything that reads files of others")
def test_fuzzing_takes_ten_minutes(places: Places, line: str) -> None:
    *_, fuzz = calls(places, line)
    assert fuzz == ["FUZZ_SECONDS=600", "pytest", "-rP", "tests/fuzz"]
    assert 'environ.get("FUZZ_SECONDS"' in (ROOT / "tests/fuzz/test_fuzz.py").read_text()


@documented("make mutations", says="fifty small mistakes in the numerical code: which test notices each")
def test_the_mutations_are_fifty(places: Places, line: str) -> None:
    *_, mutations = calls(places, line)
    assert mutations == ["python", "tests/mutations/run.py"]
    assert '"--count", type=int, default=50' in (ROOT / "tests/mutations/run.py").read_text()


@documented("make gpu-check", says="the environment, then `bright gpu-check`")
def test_a_gpu_is_checked_in_an_environment_for_runs(places: Places, line: str) -> None:
    assert calls(places, line, set_up=False) == words([*SETTING_UP, "bright gpu-check"])


@documented("make benchmark", says="`make benchmark` prints speeds as ratios measured side by side")
def test_the_benchmark_measures_what_the_page_has(places: Places, line: str) -> None:
    assert benchmarks(places, line) == ["retrieval", "decoding", "planning", "starts"]


@documented("make benchmark-evaluation", says="`make benchmark-evaluation` compares the time")
def test_the_benchmark_of_evaluation(places: Places, line: str) -> None:
    assert benchmarks(places, line) == ["features", "evaluation"]


@documented("make benchmark-precision-recall", says="`make benchmark-precision-recall` measures time and peak memory")
def test_the_benchmark_of_precision_and_recall(places: Places, line: str) -> None:
    assert benchmarks(places, line) == ["precision_recall"]


def benchmarks(places: Places, line: str) -> list[str]:
    """The scripts of tests/benchmarks that a line runs."""
    paths = [path for *_, path in calls(places, line) if path.startswith("tests/")]
    assert all((ROOT / path).exists() for path in paths)
    return [Path(path).stem.removeprefix("benchmark_") for path in paths]
