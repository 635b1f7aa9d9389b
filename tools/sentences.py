"""Report sentences of more than forty words in pages and in docstrings of the package: exit code 1 if there are any.

python tools/sentences.py
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), ROOT / "config" / "README.md", *(ROOT / "docs").glob("*.md")])
LONGEST = 40  # words
NOT_PROSE = r"<!-- (?:table|figure) .*?<!-- end -->|^( *)```.*?^\1```|<!--.*?-->|^ {4}.*?$"
CODE, LINK, START_OF_ITEM = r"`[^`]+`", r"!?\[([^\]]*)\]\([^)]*\)", r"^\s*(?:[-*>]|\d+\.|#+)\s+|\|"


def sentences(text: str) -> list[str]:
    """The sentences of hand-written prose: without code and filled blocks; code in a sentence is one word."""
    text = re.sub(NOT_PROSE, "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(LINK, r"\1", re.sub(CODE, "CODE", text))
    text = re.sub(START_OF_ITEM, "\n\n", text, flags=re.MULTILINE)
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text)]
    return [sentence for part in paragraphs for sentence in re.split(r"(?<=[.!?])[)\"*]*\s+", part) if sentence]


def docstrings(path: Path) -> Iterator[str]:
    """The docstrings of a module, its classes and functions."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False) or ""
            yield re.sub(rf"^ {{{node.body[0].col_offset if text else 0}}}", "", text, flags=re.MULTILINE)


def main() -> None:
    texts = [(path, path.read_text(encoding="utf-8")) for path in PAGES]
    texts += [(path, text) for path in sorted((ROOT / "pipeline").rglob("*.py")) for text in docstrings(path)]
    long = [(path, one) for path, text in texts for one in sentences(text) if len(one.split()) > LONGEST]
    for path, sentence in long:
        print(f"{path.relative_to(ROOT)}: {len(sentence.split())} words: {sentence}")
    sys.exit(bool(long))


if __name__ == "__main__":
    main()
