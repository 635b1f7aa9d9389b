"""What README.md and docs/ tell people to type."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "config" / "README.md", *(ROOT / "docs").glob("*.md")])
PROGRAMS = [
    "bright",
    "cp",
    "dvc",
    "git",
    "make",
    "nvcc",
    "pip",
    "python",
    "python3",
    "snakemake",
    "source",
    "tensorboard",
]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def block_lines(page: Path) -> list[str]:
    """The command lines of a page's shell blocks, continued ones as one, without comments."""
    text = page.read_text(encoding="utf-8")
    typed = [line for block in blocks(text, "sh") for line in block.replace("\\\n", " ").splitlines()]
    typed += [line.removeprefix("$ ") for block in blocks(text, "console") for line in block.splitlines()[:1]]
    return [line for line in map(without_comment, typed) if line]


def inline_lines(page: Path) -> list[str]:
    """Commands inside a page's sentences."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
    return [span for span in spans if span.partition(" ")[0] in PROGRAMS and " " in span]


def without_comment(line: str) -> str:
    """The line up to a `#` that begins a word."""
    return re.sub(r"(^|\s)#.*", "", line).strip()


def commands() -> list[list[str]]:
    """All command lines of the pages' shell blocks, as words."""
    return [shlex.split(line) for page in PAGES for line in block_lines(page)]
