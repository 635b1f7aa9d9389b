"""YAML files of others: what is ambiguous, endless or damaged is told in one line with its place."""

from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pipeline.base.errors import InputError

DEEPEST = 40
MOST_VALUES = 100_000  # once all aliases are written out


def read_yaml(path: Path, where: str) -> Any:
    """What a YAML file holds; `where` begins the error's line."""
    try:
        return parse_yaml(path.read_bytes(), where)
    except OSError as error:
        raise InputError(f"{where}: not a readable YAML file ({error.strerror})") from None


def parse_yaml(text: str | bytes, where: str) -> Any:
    """What YAML says, UTF-8 or as its first bytes tell; `where` begins the error's line."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: the 99th of May, a million digits
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise InputError(f"{where}: not a readable YAML file ({reason})") from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses what it would read in silence.

    A key that stands twice, of which the last would win; aliases that unfold to more than anybody writes.
    """

    def compose_node(self, parent: Node | None, index: Any) -> Any:
        node = super().compose_node(parent, index)
        if parent is None and node is not None:
            _measured(node, (), {})
        return node

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, ScalarNode):
                if (key.tag, key.value) in seen:
                    raise ConstructorError(None, None, f"the key {key.value!r} stands twice", key.start_mark)
                seen.add((key.tag, key.value))
        return node


def _measured(node: Node, inside: tuple[Node, ...], known: dict[int, int]) -> int:
    """How many values a node unfolds to."""
    if id(node) not in known:
        if any(node is one for one in inside):
            raise ConstructorError(None, None, "an alias inside what it names", node.start_mark)
        if len(inside) > DEEPEST:
            raise ConstructorError(None, None, f"nested more than {DEEPEST} deep", node.start_mark)
        known[id(node)] = 1 + sum(_measured(part, (*inside, node), known) for part in _parts(node))
        if known[id(node)] > MOST_VALUES:
            raise ConstructorError(None, None, f"unfolds to more than {MOST_VALUES} values", node.start_mark)
    return known[id(node)]


def _parts(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, SequenceNode) else []
