"""Read YAML files. Ambiguous, damaged and endlessly expanding files give one line with the position."""

from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bright_pipeline.base.errors import InputError

MAX_DEPTH = 40
MAX_VALUES = 100_000  # with all aliases expanded


def read_yaml(path: Path, where: str) -> Any:
    """The content of a YAML file. An error message starts with `where`."""
    try:
        return parse_yaml(path.read_bytes(), where)
    except FileNotFoundError:
        raise InputError(f"{where}: does not exist") from None
    except OSError as error:
        raise InputError(f"{where}: not a readable YAML file ({error.strerror})") from None


def parse_yaml(text: str | bytes, where: str) -> Any:
    """Parse YAML text. Bytes are decoded as UTF-8, or by their byte order mark."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # ValueError: 99 May, or a million digits; LookupError and AttributeError: tags such as !!bool on other words
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise InputError(f"{where}: not a readable YAML file ({reason})") from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader; also rejects repeated keys (PyYAML keeps the last) and aliases that expand endlessly."""

    def compose_node(self, parent: Node | None, index: Any) -> Any:
        node = super().compose_node(parent, index)
        if parent is None and node is not None:
            _expanded_size(node, (), {})
        return node

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, ScalarNode)):
            if (key.tag, key.value) in seen:
                raise ConstructorError(None, None, f"the key {key.value!r} appears twice", key.start_mark)
            seen.add((key.tag, key.value))
        return node


def _expanded_size(node: Node, parents: tuple[Node, ...], sizes: dict[int, int]) -> int:
    """The number of values in a node with all aliases expanded; `sizes` caches it by node."""
    if id(node) not in sizes:
        if any(node is parent for parent in parents):
            raise ConstructorError(None, None, "an alias inside its own value", node.start_mark)
        if len(parents) > MAX_DEPTH:
            raise ConstructorError(None, None, f"nested more than {MAX_DEPTH} deep", node.start_mark)
        children: list[Node] = node.value if isinstance(node, SequenceNode) else []
        if isinstance(node, MappingNode):
            children = [child for pair in node.value for child in pair]
        sizes[id(node)] = 1 + sum(_expanded_size(child, (*parents, node), sizes) for child in children)
        if sizes[id(node)] > MAX_VALUES:
            raise ConstructorError(None, None, f"expands to more than {MAX_VALUES} values", node.start_mark)
    return sizes[id(node)]
