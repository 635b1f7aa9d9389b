"""Every command of README.md and docs/ is claimed: by a test of what its page says it does, or by a reason why not.

The tests are in the modules `test_documented_...`, one for each kind of command; `typed.documented` makes them.
"""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from documented import ROOT, comments, pages_of_commands
from typed import CLAIMED

pytestmark = pytest.mark.slow

for module in sorted(Path(__file__).parent.glob("test_documented_*.py")):
    if module.stem != __name__.rpartition(".")[2]:
        import_module(module.stem)

TINY_CUDA_NN = "building tiny-cuda-nn takes its repository, a CUDA compiler and a GPU"
NOT_RUN = {
    r"(python3 -m )?pip ": "takes packages from an index; the extras that it names are checked below",
    r"conda env create": "takes Python from an index; `make setup`, which does the rest, is claimed",
    r"snakemake .*--software-deployment-method apptainer": "needs Apptainer and the container's image",
    r"git (clone|checkout 6ee3546|submodule)|cd tiny-cuda-nn|export TCNN": TINY_CUDA_NN,
    r'nvcc|python -c "import tinycudann"|python -m pytest -m gpu': TINY_CUDA_NN,
}
# Commands that other tests hold to their page -> the file, and words of it that show so.
ELSEWHERE = {
    r"bright estimate config/paper\.yaml": ("tests/unit/test_readme.py", "def test_the_estimate_is_what_the_command_"),
    r"bright gpu-check$": (
        "tests/slow/test_gpu_check_on_cpu.py",
        "def test_everything_that_a_cpu_can_check_is_right",
    ),
    r"bright import_weights": ("tests/unit/test_import_weights.py", "import_weights(json.dumps(job), tmp_path"),
}
COMMANDS = pages_of_commands()


def matching(patterns: dict) -> dict[str, list[str]]:
    """Pattern -> the commands of the pages that it names."""
    return {pattern: [line for line in COMMANDS if re.match(pattern, line)] for pattern in patterns}


def test_every_command_of_the_pages_is_claimed_once() -> None:
    apart = [line for lines in matching(NOT_RUN | ELSEWHERE).values() for line in lines]
    assert sorted(COMMANDS.keys() - CLAIMED.keys() - set(apart)) == [], "no test says what these do"
    assert sorted(CLAIMED.keys() & set(apart)) == []
    assert len(apart) == len(set(apart))


def test_claimed_commands_are_in_a_page() -> None:
    assert sorted(CLAIMED.keys() - COMMANDS.keys()) == []


@pytest.mark.parametrize("line", sorted(CLAIMED))
def test_what_is_tested_are_the_pages_words(line: str) -> None:
    """Each quotation is in a page that has a command of its test; what stands behind a command's # is quoted."""
    for claim in CLAIMED[line]:
        together = {other for other, claims in CLAIMED.items() if claim in claims}
        texts = [words(page.read_text(encoding="utf-8")) for other in together for page in COMMANDS.get(other, [])]
        assert [quoted for quoted in claim.says if not any(words(quoted) in text for text in texts)] == []
    says = " ".join(words(quoted) for claim in CLAIMED[line] for quoted in claim.says)
    behind = [comments(page).get(line, "") for page in COMMANDS.get(line, [])]
    assert [comment for comment in behind if words(comment) not in says] == []


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("pattern", [*NOT_RUN, *ELSEWHERE])
def test_every_reason_not_to_run_a_command_is_needed(pattern: str) -> None:
    assert matching({pattern: ""})[pattern]


@pytest.mark.parametrize("pattern", ELSEWHERE)
def test_a_command_tested_elsewhere_is_tested_there(pattern: str) -> None:
    file, shown = ELSEWHERE[pattern]
    assert shown in (ROOT / file).read_text(encoding="utf-8")


def test_extras_that_are_installed_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {name for line in COMMANDS for found in re.findall(r"\.\[([\w,-]+)\]", line) for name in found.split(",")}
    assert named
    assert named <= extras.keys()
