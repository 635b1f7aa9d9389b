"""The canonical form of a module: its syntax tree as text, without comments, docstrings and imports for types.

Two modules with one canonical form compute the same numbers. The text does not depend on the formatting and the version
of Python, as `ast.dump` does.
"""

import ast
from collections.abc import Iterator

# The prefix of a string (`kind`), whether a name is read or written (`ctx`, from its position), types in comments.
OMITTED_FIELDS = {"ctx", "kind", "type_comment"}
HAS_STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)


def canonical(node: object) -> str:
    """The text of a tree; empty fields, which not every version of Python has, are omitted."""
    if isinstance(node, list):
        return f"[{','.join([canonical(item) for item in node if _counts(item)])}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.JoinedStr):  # Python 3.12 ends a nested format with an empty string
        node.values = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
    named = [(name, getattr(node, name, None)) for name in node._fields if name not in OMITTED_FIELDS]
    fields = [f"{name}={canonical(value)}" for name, value in named if value is not None and value != []]
    return f"{type(node).__name__}({','.join(fields)})"


def running_source(tree: ast.Module) -> str:
    """The code of a tree without what its canonical form omits, one statement a line; changes the tree."""
    for node in running_statements(tree):
        for name in node._fields:
            within = getattr(node, name, None)
            if isinstance(within, list) and within and isinstance(within[0], ast.stmt):
                setattr(node, name, [statement for statement in within if _counts(statement)] or [ast.Pass()])
    return ast.unparse(tree)


def running_statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes that contain the statements of a module, and the statements, except imports for types."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in node._fields:
            within = getattr(node, name, None)
            if isinstance(within, list) and within and isinstance(within[0], HAS_STATEMENTS):
                waiting += [statement for statement in within if _counts(statement)]


def _counts(item: object) -> bool:
    """Whether an item of a list runs: no docstring, no import for types, no import without names."""
    match item:
        case ast.Expr(value=ast.Constant()) | ast.Import(names=[]) | ast.ImportFrom(names=[]):
            return False
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), orelse=[]):
            return False
    return True
