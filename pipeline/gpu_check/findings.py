"""What a check of a card found, line by line, and the two files that tell of it: JSON, and a table in Markdown."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch

from pipeline.base.atomic import write_json, write_text
from pipeline.base.errors import error_text


class State(StrEnum):
    """What a line says."""

    RIGHT = "right"
    WRONG = "WRONG"
    MEASURED = "measured"
    DOES_NOT_FIT = "does not fit"
    NOT_CHECKED = "not checked"


@dataclass
class Finding:
    """One line."""

    check: str
    what: str
    state: State
    note: str = ""
    numbers: dict[str, float] = field(default_factory=dict)


def guarded(check: str, what: str, act: Callable[[], Finding]) -> Finding:
    """What `act` finds; an error of whatever kind is a finding too, so that the checks behind it are done."""
    try:
        return act()
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return Finding(check, what, State.DOES_NOT_FIT, "the card's memory is too small for this batch")
    except Exception as error:
        return Finding(check, what, State.WRONG, error_text(error))


def passed(findings: Iterable[Finding]) -> bool:
    """Whether nothing is wrong."""
    return all(one.state is not State.WRONG for one in findings)


def write_report(folder: Path, facts: dict[str, Any], findings: list[Finding]) -> tuple[Path, Path]:
    """FOLDER/CARD.json and FOLDER/CARD.md; `facts` names the card and the libraries."""
    name = re.sub(r"[^a-z0-9]+", "-", str(facts["card"]).lower()).strip("-")
    json, table = folder / f"{name}.json", folder / f"{name}.md"
    write_json(json, facts | {"findings": [asdict(one) for one in findings]})
    write_text(table, markdown(facts, findings))
    return json, table


def markdown(facts: dict[str, Any], findings: list[Finding]) -> str:
    """A heading that names the card, what it ran with, and a row for each line."""
    told = ", ".join(f"{key} {value}" for key, value in facts.items() if key != "card")
    head = [f"# {facts['card']}", "", told, "", "| check | what | result | numbers |", "|---|---|---|---|"]
    return "\n".join([*head, *_rows(findings)]) + "\n"


def _rows(findings: list[Finding]) -> Iterator[str]:
    for one in findings:
        result = f"{one.state}: {one.note}" if one.note else str(one.state)
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in one.numbers.items())
        yield f"| {one.check} | {one.what} | {result.replace('|', ' ')} | {numbers} |"
