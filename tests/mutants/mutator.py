"""Mutants of a function, made from its syntax tree, and their swap into the running process."""

import ast
import contextlib
import importlib
import inspect
import textwrap
import types
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .operators import NOT_NUMBERS, OPERATORS, Site


@dataclass(frozen=True)
class Mutant:
    """One fault: `target` is module:qualified.name, `source` the whole function with the fault in it."""

    target: str
    operator: str
    line: int
    before: str
    after: str
    occurrence: int
    source: str
    tests: tuple[str, ...] = ()  # those that must detect it; none: those of the target
    equivalent: str = ""  # why no test can detect it, where `equivalent.py` does not say so

    @property
    def change(self) -> str:
        """`before -> after`; the second identical change in a function ends in #2."""
        return f"{self.before} -> {self.after}" + (f" #{self.occurrence}" if self.occurrence > 1 else "")

    @property
    def key(self) -> tuple[str, str, str]:
        """Its key in `equivalent.py`."""
        return self.target, self.operator, self.change


def functions_of(module: str) -> dict[str, ast.AST]:
    """{target: node} of every function and method of a module, and of its constants."""
    return {t: n for t, n in nodes_of(module).items() if isinstance(n, ast.FunctionDef) or is_constant(n)}


def nodes_of(module: str) -> dict[str, Any]:
    """{target: node} of every function, method and assignment of a module."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    found = {}
    for parent, prefix in [
        (tree, ""),
        *((node, f"{node.name}.") for node in tree.body if isinstance(node, ast.ClassDef)),
    ]:
        for node in parent.body:
            if isinstance(node, ast.FunctionDef):
                found[f"{module}:{prefix}{node.name}"] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[f"{module}:{prefix}{node.targets[0].id}"] = node
    return found


def is_constant(node: ast.AST) -> bool:
    """`_TAIL = 40.0`: a name in capitals for a number."""
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
        return False
    is_text = any(isinstance(n, ast.Constant) and isinstance(n.value, str) for n in ast.walk(node.value))
    return node.targets[0].id.isupper() and not is_text


def bare(node: ast.AST) -> ast.AST:
    """A function without docstring, decorators, annotations and defaults: what its code object is made from."""
    if isinstance(node, ast.Assign):
        return node
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef):
            inner.decorator_list, inner.returns = [], None
            if ast.get_docstring(inner) is not None:
                inner.body = inner.body[1:] or [ast.Pass()]
        if isinstance(inner, ast.arg):
            inner.annotation = None
    node.args.defaults, node.args.kw_defaults = [], [None] * len(node.args.kwonlyargs)
    return node


def mutants_of(target: str, node: ast.AST) -> list[Mutant]:
    """Every mutant of one function, each distinct source once, in source order."""
    node = bare(node)
    seen, times, mutants = {ast.unparse(node)}, Counter(), []
    for site in sites(node, names_of(node)):
        original, before = site.node, ast.unparse(site.node)
        for operator, faults in OPERATORS.items():
            for fault in faults(site):
                site.put(ast.copy_location(fault, original))
                source = ast.unparse(node)
                site.put(original)
                if source in seen:
                    continue
                seen.add(source)
                key = operator, before, ast.unparse(fault)
                times[key] += 1
                mutants.append(Mutant(target, *key[:1], original.lineno, *key[1:], times[key], source))
    return mutants


def sites(node: ast.AST, names: dict[str, int]) -> Iterator[Site]:
    """Every place in a function where a fault may go; argument checks (`if ...: raise`) are left out."""
    for field, value in ast.iter_fields(node):
        children = [*enumerate(value)] if isinstance(value, list) else [(None, value)]
        for index, child in children:
            if not isinstance(child, ast.expr | ast.stmt | ast.comprehension | ast.keyword | ast.Slice):
                continue
            if isinstance(child, ast.Raise | ast.JoinedStr) or is_argument_check(child) or is_strict(child):
                continue
            inner = names_of(child) if isinstance(child, ast.Lambda | ast.FunctionDef) else names
            if isinstance(child, ast.expr | ast.stmt) and not is_store(child):
                yield Site(child, node, field, index, tuple(n for n, line in names.items() if line < child.lineno))
            yield from sites(child, inner)


def is_argument_check(node: ast.AST) -> bool:
    """`if ...: raise ...`: an argument check, which the tests of errors cover."""
    return isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise)


def is_strict(node: ast.AST) -> bool:
    """`strict=True` of a zip: an argument check."""
    return isinstance(node, ast.keyword) and node.arg == "strict"


def is_store(node: ast.AST) -> bool:
    """A target of an assignment."""
    return isinstance(getattr(node, "ctx", None), ast.Store) and not isinstance(node, ast.Tuple)


def names_of(node: ast.AST) -> dict[str, int]:
    """Parameters and variables of a function that hold numbers, and the line after which each is defined."""
    if isinstance(node, ast.Assign):
        return {}
    names = {a.arg: 0 for a in node.args.args}
    for statement in node.body if isinstance(node.body, list) else []:
        for n in ast.walk(statement):
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store):
                names.setdefault(n.id, statement.lineno)
    return {n: line for n, line in names.items() if n not in NOT_NUMBERS and not n.endswith("key")}


def holder_of(target: str) -> tuple[Any, str]:
    """(object, name) such that getattr(object, name) is the target."""
    module, path = target.split(":")
    *owners, name = path.split(".")
    holder = importlib.import_module(module)
    for owner in owners:
        holder = getattr(holder, owner)
    return holder, name


def code_of(source: str, cell: bool = False) -> types.CodeType:
    """The code object of the one function in `source`; with a cell, of a method that calls super()."""
    source = textwrap.dedent(source)
    module = compile(f"class _:\n{textwrap.indent(source, ' ')}" if cell else source, "<mutant>", "exec")
    code = next(c for c in module.co_consts if isinstance(c, types.CodeType))
    return next(c for c in code.co_consts if isinstance(c, types.CodeType)) if cell else code


@contextlib.contextmanager
def swapped(target: str, source: str) -> Iterator[None]:
    """Run a function as `source` defines it, through every reference: its code is replaced, not the function."""
    holder, name = holder_of(target)
    original = getattr(holder, name)
    original = getattr(original, "fget", None) or getattr(original, "func", None) or original  # of a property
    if callable(original):
        function = inspect.unwrap(original)
        code, function.__code__ = function.__code__, code_of(source, "__class__" in function.__code__.co_freevars)
        try:
            yield
        finally:
            function.__code__ = code
    else:
        scope: dict[str, Any] = {}
        exec(source, dict(vars(importlib.import_module(target.split(":")[0]))), scope)
        setattr(holder, name, scope[name])
        try:
            yield
        finally:
            setattr(holder, name, original)
