"""What a constructor or a function refuses, told from its source, before torch is imported.

The rules stand where the values are used, and only there. Of a body, what may be a check is done
as far as it needs nothing slow: a statement that names what is not at hand, such as a network, is
left undone. The real thing is still to be made, and checks all.
"""

import __future__

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from lightning_collapse.commands.declared import arguments, bound, is_slow, parsed

__all__ = ["constant", "defaults", "refuse_as"]

_Node = ast.FunctionDef | ast.ClassDef

_CONSTRUCTORS = ("__init__", "__post_init__")
# Values are computed for checks that follow.
_CHECKS = (ast.If, ast.For, ast.Expr, ast.Assign)
# Whatever else goes wrong does for lack of what is slow.
_UNDONE = (ArithmeticError, AttributeError, ImportError, LookupError, RuntimeError, TypeError)
# Types may name what is slow.
_UNTYPED = __future__.annotations.compiler_flag


def refuse_as(module: str, name: str, given: Mapping[str, Any]) -> None:
    """Does the checks of a class's constructor, or of a function.

    Args:
        module: the module's full name.
        name: of the class or the function in it.
        given: arguments; those left out are as by default, where that is a plain value.

    Raises:
        ValueError: as the real one raises it.
    """
    told = {**defaults(module, name), **given}
    family = list(_family(module, name))
    checks = [part for node in family for body in _bodies(node) for part in body.body]
    checks = [part for part in checks if isinstance(part, _CHECKS)]
    scope = _scope(module, family, checks)
    if isinstance(made := scope.get(name), type):
        scope["self"] = object.__new__(made)
        for key, value in told.items():
            setattr(scope["self"], key, value)
    scope |= told
    for check in checks:
        _do(check, scope)


def defaults(module: str, name: str) -> dict[str, Any]:
    """Gives the arguments that a class or a function has by default, those that are plain."""
    found: dict[str, Any] = {}
    for node in _family(module, name):
        for key, value in _defaults(node):
            with suppress(ValueError):
                if value is not None:
                    found[key] = ast.literal_eval(value)
    return found


def constant(module: str, name: str) -> Any:
    """Gives a plain value that a module binds to a name at its top."""
    for node in parsed(module).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value and name in bound(node):
            return ast.literal_eval(node.value)
    raise LookupError(f"{module}.{name}")


def _defaults(node: _Node) -> Iterator[tuple[str, ast.expr | None]]:
    for part in node.body if isinstance(node, ast.ClassDef) else []:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            yield part.target.id, part.value
    yield from ((name, value) for name, _, value in arguments(node))


def _bodies(node: _Node) -> list[ast.FunctionDef]:
    """The function, or the constructors of the class."""
    if isinstance(node, ast.FunctionDef):
        return [node]
    methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    return [method for method in methods if method.name in _CONSTRUCTORS]


def _family(module: str, name: str) -> Iterator[_Node]:
    """A class, or a function, after the classes of the module that it is derived from."""
    for node in parsed(module).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
            for base in getattr(node, "bases", []):
                if isinstance(base, ast.Name):
                    yield from _family(module, base.id)
            yield node


def _scope(module: str, family: Iterable[ast.stmt], checks: Iterable[ast.stmt]) -> dict[str, Any]:
    """Gives what the checks name, and what that names, of the module, where it is quick."""
    bare = [_bare(node) for node in parsed(module).body]
    own = {name for node in family for name in bound(node)}
    taken: list[ast.stmt] = [node for node in bare if own & {*bound(node)}]
    wanted = _names([*taken, *checks])
    while new := [node for node in bare if node not in taken and wanted & {*bound(node)}]:
        taken += new
        wanted |= _names(new)
    scope: dict[str, Any] = {"__name__": module}
    for node in bare:  # in their order
        if node in taken and _is_quick(node):
            _do(node, scope)
    return scope


def _bare(node: ast.stmt) -> ast.stmt:
    """Leaves of a class what its checks may call, and of functions no other decorators."""
    if isinstance(node, ast.FunctionDef):
        kept = [each for each in node.decorator_list if ast.unparse(each) == "staticmethod"]
        made: ast.stmt = ast.FunctionDef(node.name, node.args, node.body, kept)
    elif isinstance(node, ast.ClassDef):
        methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        own = [_bare(part) for part in methods if part.name not in _CONSTRUCTORS]
        made = ast.ClassDef(node.name, [], [], own or [ast.Pass()], [])
    else:
        return node
    return ast.fix_missing_locations(ast.copy_location(made, node))


def _names(nodes: Iterable[ast.stmt]) -> set[str]:
    return {part.id for n in nodes for part in ast.walk(n) if isinstance(part, ast.Name)}


def _is_quick(node: ast.stmt) -> bool:
    """Whether a statement imports nothing, or of this package or Python's own what is quick."""
    if isinstance(node, ast.Import):
        return all(each.name in sys.stdlib_module_names for each in node.names)
    if not isinstance(node, ast.ImportFrom):
        return True
    package = (node.module or "").partition(".")[0]
    if package in sys.stdlib_module_names:
        return True
    return package == __name__.partition(".")[0] and not is_slow(node.module)


def _do(node: ast.stmt, scope: dict[str, Any]) -> None:
    with suppress(*_UNDONE, NameError):
        exec(compile(ast.Module([node], []), "<check>", "exec", _UNTYPED), scope)
