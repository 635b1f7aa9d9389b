"""Commands in README.md and docs/."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "config" / "README.md", *(ROOT / "docs").glob("*.md")])
README, REFERENCE = ((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/reference.md"))
PROGRAM = "bright|cp|dvc|git|make|nvcc|pip|python3?|snakemake|source|tensorboard"


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def block_lines(page: Path) -> list[str]:
    """The command lines of a page's shell blocks, without comments; a continued command is one line."""
    return [line for line in map(without_comment, _typed(page)) if line]


def shown_output(page: Path, command: str) -> list[str]:
    """The output lines below a command in a page's console block."""
    found = (block.splitlines() for block in blocks(page.read_text(encoding="utf-8"), "console"))
    return next(lines[1:] for lines in found if lines[0] == f"$ {command}")


def _typed(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    typed = [line for block in blocks(text, "sh") for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines()]
    return typed + [line.removeprefix("$ ") for block in blocks(text, "console") for line in block.splitlines()[:1]]


def inline_lines(page: Path) -> list[str]:
    """Commands within a page's sentences."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    spans = [" ".join(span.split()) for span in re.findall(r"(?<!\\)`([^`]+)`", text)]
    return [span for span in spans if re.match(rf"(?:\w+=\S+ )*({PROGRAM}) ", span)]


def without_comment(line: str) -> str:
    """The line up to a `#` that begins a word."""
    return re.sub(r"(^|\s)#.*", "", line).strip()


def pages_of_commands() -> dict[str, list[Path]]:
    """Each complete command in blocks and sentences -> the pages that have it."""
    bare = re.compile(r"bright \w+|(python -m bright_pipeline|bright STAGE CONFIG).*")  # names of modules in sentences
    pages: dict[str, list[Path]] = {}
    for page in PAGES:
        complete = [line for line in inline_lines(page) if not bare.fullmatch(line)]
        for line in dict.fromkeys([*block_lines(page), *complete]):
            pages.setdefault(line, []).append(page)
    return pages
