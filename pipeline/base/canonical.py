"""A syntax tree as text, without what moves no number: two modules with one such text compute the same.

It is the same in every Python version and for every formatting. Left out are comments, docstrings, log lines and
progress, the help of options, descriptions of fields, the text of errors and what is imported for types alone.
A log line that calls anything that could draw a random number stays. In modules of families the declarations of
settings are left out too: their values are in a digest by value.
"""

import ast
from collections.abc import Iterator

# Of no effect on numbers: where a constant is in the source (`kind`), whether a name is read or written (`ctx`,
# which its place says), types in comments.
FIELDS_WITHOUT_NUMBERS = {"ctx", "kind", "type_comment"}

HOLD_STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)
LESS_COUNTS = (ast.Call, ast.Raise, ast.Assert)
"""Nodes with a field, other than statements in a list, of which less counts."""

HARMLESS_CALLS = {"abs", "dict", "float", "int", "len", "list", "max", "min", "repr", "round", "sorted", "str", "sum"}
HARMLESS_METHODS = {"encode", "format", "items", "join", "keys", "values"}

WORDS_OF_CALLS = {"Option": {"help", "metavar"}, "Argument": {"help", "metavar"}, "Field": {"description"}}
DECLARATIONS = {"Field", "operational"}
VALIDATORS = {"field_validator", "model_validator"}


def canonical(tree: ast.Module, declares_settings: bool = False) -> str:
    """The text of a module, which may be one that declares the settings of a family."""
    if declares_settings:
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.bases:
                node.body = [statement for statement in node.body if not _is_declaration(statement)]
    return _text(tree)


def running_statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements of a module, in whatever they stand, but for what is imported for types alone."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in node._fields:
            within = getattr(node, name, None)
            if isinstance(within, list) and within and isinstance(within[0], HOLD_STATEMENTS):
                waiting += [one for one in within if not _is_for_types(one)]


def _text(node: object) -> str:
    if isinstance(node, ast.AST):
        kind, told = type(node), []
        for name in node._fields:
            if name in FIELDS_WITHOUT_NUMBERS:
                continue
            value = getattr(node, name, None)
            if kind in LESS_COUNTS or isinstance(value, list):
                value = _value(node, name)
            if isinstance(value, str):
                told.append(f"{name}={value!r},")
            elif value is not None and value != []:
                told.append(f"{name}={_text(value)},")
        return f"{kind.__name__}({''.join(told)})"
    if isinstance(node, list):
        return f"[{''.join([f'{_text(item)},' for item in node])}]"
    return repr(node)


def _value(node: ast.AST, name: str) -> object:
    """A field of a node, less what moves no number."""
    value = getattr(node, name, None)
    if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
        return [statement for statement in value if _counts(statement)]
    match node:
        case ast.Call(func=function) if name in ("args", "keywords"):
            return _arguments(_last_name(function), node, name)
        case ast.Raise(exc=ast.Call(func=function)) if name == "exc" and _last_name(function) == "InputError":
            return function
        case ast.Assert() if name == "msg":
            return None
    return value


def _arguments(function: str, call: ast.Call, name: str) -> list[ast.expr] | list[ast.keyword]:
    if function == "Progress" and _is_harmless(call):
        return []
    if name == "args":
        return call.args
    return [keyword for keyword in call.keywords if keyword.arg not in WORDS_OF_CALLS.get(function, ())]


def _counts(statement: ast.stmt) -> bool:
    """Whether a statement can move a number."""
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return False
        case ast.Import(names=[]) | ast.ImportFrom(names=[]):
            return False
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=subject), attr=method)) as call):
            tells = subject == "logger" or (subject == "progress" and method == "advance")
            return not (tells and _is_harmless(call))
    return not _is_for_types(statement)


def _is_harmless(call: ast.Call) -> bool:
    """Whether to compute the call's arguments has no effect but their values."""
    for argument in (*call.args, *call.keywords):
        for node in ast.walk(argument):
            match node:
                case ast.Call(func=ast.Name(id=name)) if name in HARMLESS_CALLS | {"Progress"}:
                    continue
                case ast.Call(func=ast.Attribute(attr=name)) if name in HARMLESS_METHODS:
                    continue
                case ast.Call() | ast.NamedExpr() | ast.Await() | ast.Yield() | ast.YieldFrom():
                    return False
    return True


def _is_for_types(node: ast.AST) -> bool:
    """Whether it is an `if TYPE_CHECKING:`, which no running program enters."""
    return isinstance(node, ast.If) and not node.orelse and _last_name(node.test) == "TYPE_CHECKING"


def _is_declaration(statement: ast.stmt) -> bool:
    """Whether a statement of a settings class declares a field or checks its value."""
    match statement:
        case ast.AnnAssign(value=ast.Call(func=function)):
            return _last_name(function) in DECLARATIONS
        case ast.FunctionDef(decorator_list=decorators):
            return any(_last_name(one.func if isinstance(one, ast.Call) else one) in VALIDATORS for one in decorators)
    return False


def _last_name(node: ast.AST) -> str:
    """`Option` of `typer.Option` and of `Option`; empty for what is no name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
