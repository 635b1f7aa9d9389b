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
    return [line for line in map(without_comment, _typed(page)) if line]


def comments(page: Path) -> dict[str, str]:
    """What stands behind the `#` of command lines in a page's shell blocks."""
    pairs = [(without_comment(line), re.search(r"\s#\s*(.+)$", line)) for line in _typed(page)]
    return {line: found[1].strip() for line, found in pairs if line and found}


def shown_output(page: Path, command: str) -> list[str]:
    """The lines that a page's console block shows below a command."""
    found = (block.splitlines() for block in blocks(page.read_text(encoding="utf-8"), "console"))
    return next(lines[1:] for lines in found if lines[0] == f"$ {command}")


def _typed(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    typed = [line for block in blocks(text, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return typed + [line.removeprefix("$ ") for block in blocks(text, "console") for line in block.splitlines()[:1]]


def inline_lines(page: Path) -> list[str]:
    """Commands inside a page's sentences."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    spans = [" ".join(span.split()) for span in re.findall(r"(?<!\\)`([^`]+)`", text)]
    return [span for span in spans if (found := re.match(r"(?:\w+=\S+ )*(\S+) ", span)) and found[1] in PROGRAMS]


def without_comment(line: str) -> str:
    """The line up to a `#` that begins a word."""
    return re.sub(r"(^|\s)#.*", "", line).strip()


def commands() -> list[list[str]]:
    """All command lines of the pages' shell blocks, as words."""
    return [shlex.split(line) for page in PAGES for line in block_lines(page)]


def pages_of_commands() -> dict[str, list[Path]]:
    """Each command that one can type, of blocks and of sentences -> the pages that have it."""
    pages: dict[str, list[Path]] = {}
    for page in PAGES:
        for line in dict.fromkeys([*block_lines(page), *filter(_is_whole, inline_lines(page))]):
            pages.setdefault(line, []).append(page)
    return pages


def _is_whole(line: str) -> bool:
    """Whether a command in a sentence is one to type, and not a module's name alone."""
    return re.fullmatch(r"bright \w+|(python -m pipeline|bright STAGE CONFIG).*", line) is None
