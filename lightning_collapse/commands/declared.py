"""What a source file declares, read without importing what its functions need.

Help and mistakes on a command line are answered from this: importing torch takes seconds.
"""

import ast
import builtins
import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, Optional, Union, cast

__all__ = [
    "STAND_IN",
    "RealNeededError",
    "arguments",
    "bound",
    "entry",
    "is_defined",
    "is_slow",
    "outline",
    "parsed",
]

STAND_IN = "stand_in"
"""Module of classes that stand in for others."""

_Function = ast.FunctionDef

_SLOW = {
    "lightning_fabric",
    "matplotlib",
    "pytorch_lightning",
    "scipy",
    "sklearn",
    "torch",
    "torchmetrics",
}

_PLAIN: dict[str, Any] = {
    **{kind.__name__: kind for kind in (int, float, bool, str, tuple, Path)},
    **{"Optional": Optional, "Union": Union, "Literal": Literal, "Any": Any},
}


_PACKAGE = __name__.partition(".")[0]


class RealNeededError(Exception):
    """What stands in for classes in a signature does not do."""


def entry(module: str, function: str) -> Callable[..., Any]:
    """Finds a function that calls others of its module, none of which is imported before.

    What it names at the top of its module is taken along: imports, constants, and functions with
    their signature, their docstring and the checks that they begin with, as far as these need
    nothing slow. A call of one of these that passes its checks imports the module and calls the
    real one. Where a signature names what needs torch, classes of no use stand in for it; once
    `RealNeededError` tells that this is not enough, all is done again by the real module.

    Args:
        module: the module's full name.
        function: its function.
    """
    if module in sys.modules:
        return cast("Callable[..., Any]", getattr(sys.modules[module], function))
    tree = ast.parse(_source(module).read_bytes())
    declared = {name: node for node in tree.body for name in bound(node)}
    scope: dict[str, Any] = {"__name__": module, "_real": lambda: import_module(module)}
    wanted, taken = [function], []
    while wanted:
        if (node := declared.get(wanted.pop())) is None or node in taken:
            continue
        taken.append(node)
        if isinstance(node, ast.ClassDef):
            return cast("Callable[..., Any]", getattr(import_module(module), function))
        if isinstance(node, _Function) and node.name != function:
            _forward(node, {name for name, each in declared.items() if _is_quick(each)})
        wanted += [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
    slow = [node for node in taken if isinstance(node, ast.ImportFrom) and is_slow(node.module)]
    scope |= {name: type(name, (), {"__module__": STAND_IN}) for n in slow for name in bound(n)}
    tree.body = [node for node in tree.body if node in taken and node not in slow]
    code = compile(ast.fix_missing_locations(tree), str(_source(module)), "exec")
    try:
        exec(code, scope)
    except TypeError:  # of what stands in, where more than its name is needed
        return cast("Callable[..., Any]", getattr(import_module(module), function))
    for node in taken:
        if isinstance(node, _Function):
            # jsonargparse imports the module that a function says it is of.
            scope[node.name].__module__ = __name__

    def run(*args: Any) -> Any:
        try:
            return scope[function](*args)
        except RealNeededError:
            return getattr(import_module(module), function)(*args)

    return run


@cache
def parsed(module: str) -> ast.Module:
    """Gives the statements of a module, which nobody may change."""
    return ast.parse(_source(module).read_bytes())


@cache
def is_slow(module: str | None) -> bool:
    """Whether a module, or one of this package that it imports, imports torch."""
    package, _, _ = (module or "").partition(".")
    if package in _SLOW:
        return True
    if package != _PACKAGE or not _source(module or "").is_file():
        return False
    imported: list[str | None] = []
    # Not those inside functions and conditions.
    for node in parsed(module or "").body:
        imported += [each.name for each in node.names] if isinstance(node, ast.Import) else []
        imported += [node.module] if isinstance(node, ast.ImportFrom) else []
    return any(map(is_slow, imported))


@cache
def outline(module: str) -> dict[str, inspect.Signature]:
    """Gives the signatures of a module's functions and constructors, by name.

    Defaults are None, and annotations only those of plain values: others are `typing.Any`.
    Dataclasses are taken to be constructed from the fields in their body, and in those of the
    module's classes that they are derived from.
    """
    tree = parsed(module)
    names = _aliases(module)
    told: dict[str, inspect.Signature] = {}
    for node in tree.body:
        if not isinstance(node, (_Function, ast.ClassDef)):
            continue
        own = {one.name: one for one in _parameters(node, names)}
        for base in getattr(node, "bases", []) if not _constructor(node) else []:
            if isinstance(base, ast.Name) and base.id in told:
                own = {**told[base.id].parameters, **own}
        told[node.name] = inspect.Signature(list(own.values()))
    return told


@cache
def _aliases(module: str) -> dict[str, Any]:
    """Gives types of plain values that a module names, or imports by name from this package."""
    names = dict(_PLAIN)
    for node in parsed(module).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value and (own := bound(node)):
            names[own[0]] = _plain(node.value, names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_PACKAGE):
            told = {alias.name: alias.asname or alias.name for alias in node.names}
            for part in parsed(node.module or "").body:
                if isinstance(part, (ast.Assign, ast.AnnAssign)) and part.value:
                    for name in {*bound(part)} & {*told}:
                        names[told[name]] = _plain(part.value, dict(_PLAIN))
    return names


def is_defined(name: str) -> bool:
    """Whether any module of this package has a class or a function of that name."""
    package = _source(_PACKAGE).parent
    wanted = re.compile(rf"^(class|def) {name}\b", re.MULTILINE)
    return any(wanted.search(path.read_text("utf-8")) for path in package.rglob("*.py"))


def _source(module: str) -> Path:
    """Finds a module's file without importing the packages that it is in, but the outermost."""
    package, *path = module.split(".")
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    if not spec.submodule_search_locations:
        return Path(spec.origin)
    inside = Path(spec.submodule_search_locations[0]).joinpath(*path)
    return inside / "__init__.py" if inside.is_dir() else inside.with_suffix(".py")


def bound(node: ast.stmt) -> list[str]:
    """Names that a statement at the top of a module binds."""
    if isinstance(node, (_Function, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(each.asname or each.name).partition(".")[0] for each in node.names]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def _is_quick(node: ast.stmt) -> bool:
    """Whether a statement imports something, and nothing slow."""
    return isinstance(node, ast.ImportFrom) and not is_slow(node.module)


def _forward(node: _Function, quick: Collection[str]) -> None:
    """Leaves of a function its docstring, its first checks and a call of the real one."""
    described = ast.get_docstring(node, clean=False) is not None
    if not node.args.kwarg and not node.args.vararg and not node.args.posonlyargs:
        names = [each.arg for each in node.args.args + node.args.kwonlyargs]
        known = {*names, *dir(builtins), *quick}
        checks = takewhile(partial(_is_check, known=known), node.body[described:])
        passed = ", ".join(f"{name}={name}" for name in names)
        call = f"return getattr(_real(), {node.name!r})({passed})"
        rest = ast.parse(f"def _():\n {call}").body[0].body  # type: ignore[attr-defined]
        node.body = [*node.body[:described], *checks, *rest]
        return
    node.args = ast.parse("def _(*args, **options): ...").body[0].args  # type: ignore[attr-defined]
    call = f"return getattr(_real(), {node.name!r})(*args, **options)"
    node.body = ast.parse(f"def _():\n {call}").body[0].body  # type: ignore[attr-defined]


def _is_check(node: ast.stmt, known: Collection[str]) -> bool:
    """Whether a statement does nothing but raise, or call what may, with names that are known.

    What a call gives may be kept, under a name that checks after it do not use.
    """
    inner: list[ast.stmt] = [node]
    if isinstance(node, ast.For):
        inner = node.body
    bound = {
        part.id
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }
    used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return used <= {*known, *bound} and all(
        (isinstance(each, (ast.Expr, ast.Assign)) and isinstance(each.value, ast.Call))
        or (isinstance(each, ast.If) and isinstance(each.body[0], ast.Raise))
        for each in inner
    )


def _constructor(node: _Function | ast.ClassDef) -> _Function | None:
    """The function itself, or the constructor that a class has in its body."""
    if isinstance(node, _Function):
        return node
    made = [part for part in node.body if isinstance(part, _Function)]
    return next((part for part in made if part.name == "__init__"), None)


def arguments(
    node: _Function | ast.ClassDef,
) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    """Gives what a function or a constructor is called with: names, types and defaults."""
    if (made := _constructor(node)) is not None:
        given = [argument for argument in made.args.args if argument.arg != "self"]
        needed = [None] * (len(given) - len(made.args.defaults))
        usual = [*needed, *made.args.defaults, *made.args.kw_defaults]
        for argument, default in zip([*given, *made.args.kwonlyargs], usual, strict=True):
            yield argument.arg, argument.annotation, default
    elif any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        for field in node.body:
            if not isinstance(field, ast.AnnAssign) or "ClassVar" in ast.unparse(field):
                continue
            if isinstance(field.target, ast.Name):
                yield field.target.id, field.annotation, field.value


def _parameters(
    node: _Function | ast.ClassDef, names: dict[str, Any]
) -> Iterator[inspect.Parameter]:
    for name, annotation, default in arguments(node):
        yield inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if default is None else None,
            annotation=Any if annotation is None else _plain(annotation, names),
        )
    made = _constructor(node)
    if made is not None and made.args.kwarg is not None:
        yield inspect.Parameter(made.args.kwarg.arg, inspect.Parameter.VAR_KEYWORD)


def _plain(annotation: ast.expr, names: dict[str, Any]) -> Any:
    """Evaluates an annotation of plain values; gives `Any` for others."""
    try:
        code = compile(ast.Expression(annotation), "annotation", "eval")
        return eval(code, {"__builtins__": {}, **names})
    except (NameError, TypeError, AttributeError):
        return Any
