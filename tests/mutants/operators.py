"""What one expression of a function may become: each operator yields faults that people really make.

    operator(site) -> expressions to put in place of site.node

A forward, a backward, an update, a schedule are all short formulas, so the operators act on formulas: signs,
factors, terms, operands, axes, names, orders, functions.
"""

import ast
import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

NOT_NUMBERS = {"self", "key", "params", "dtype", "wide", "in_shape", "out_shape", "shape", "owner", "caller"}
COMMUTATIVE = {"maximum", "minimum", "max", "min", "clip", "add", "multiply", "prod"}
SUMS = {"sum", "mean", "max", "argmax", "all", "any"}
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
COMPARISONS = {
    ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE), ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip
CONSTANTS = {0: (1,), 1: (0, 2), 2: (1, 3), 3: (2, 4), 6: (5, 7), 0.5: (1.0,)}
FUNCTIONS = {
    "maximum": "minimum", "minimum": "maximum", "sum": "mean", "max": "min", "argmax": "argmin", "all": "any",
    "exp": "expm1", "expm1": "exp", "log1p": "log", "log": "log1p", "tanh": "sin", "cos": "sin", "erfc": "erf",
    "sqrt": "square", "sign": "abs", "zeros_like": "ones_like", "zeros": "ones", "diagonal": "ravel",
    "normal": "uniform", "prod": "sum", "argsort": "sort", "logistic": "tanh", "softmax": "below_largest",
}  # fmt: skip


@dataclass
class Site:
    """A node and its place: parent.field, or parent.field[index]; names are those it could be confused with."""

    node: ast.AST
    parent: ast.AST
    field: str
    index: int | None
    names: tuple[str, ...]

    def put(self, node: ast.AST) -> None:
        """Put `node` here."""
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


Operator = Callable[[Site], Iterator[ast.AST]]
OPERATORS: dict[str, Operator] = {}


def operator(f: Operator) -> Operator:
    """Add a function to the operators under its own name."""
    OPERATORS[f.__name__] = f
    return f


def expression(text: str, **parts: ast.AST) -> ast.expr:
    """The expression `text` with the nodes `parts` in place of their names."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return parts.get(node.id, node)

    return Fill().visit(ast.parse(text, mode="eval").body)


def called(node: ast.AST) -> str:
    """`sum` for jnp.sum(x), x.sum() and sum(x); the empty string for anything but a call."""
    function = getattr(node, "func", None)
    return getattr(function, "attr", getattr(function, "id", "")) if isinstance(node, ast.Call) else ""


def is_number(node: ast.AST) -> bool:
    """Whether an expression could be an array or a number."""
    if isinstance(node, ast.Name | ast.Attribute):
        return ast.unparse(node) not in NOT_NUMBERS
    return isinstance(node, ast.BinOp | ast.UnaryOp | ast.IfExp | ast.Subscript) or (
        isinstance(node, ast.Call) and not builds(node) and not called(node).startswith(("is", "has", "result_type"))
    )


def builds(node: ast.AST) -> bool:
    """Whether a call makes a tuple of some kind: DenseParams(...), tuple(...)."""
    return called(node) in {"tuple", "list", "split"} or called(node)[:1].isupper()


def is_result(site: Site) -> bool:
    """Whether an expression is what a function returns, keeps as a residual, or binds to a name."""
    if isinstance(site.parent, ast.Assign):
        target = site.parent.targets[0]
        return site.field == "value" and isinstance(target, ast.Name) and target.id not in NOT_NUMBERS
    inside = isinstance(site.parent, ast.Return | ast.Lambda) and site.field in ("value", "body")
    return inside or isinstance(site.parent, ast.Tuple) or (builds(site.parent) and site.field == "args")


def has_tuple(node: ast.BinOp) -> bool:
    """Whether + joins shapes or * repeats them."""
    return any(isinstance(part, ast.Tuple | ast.List) for part in ast.walk(node))


@operator
def sign(site: Site) -> Iterator[ast.AST]:
    """x -> -x for results; -x -> x anywhere."""
    if isinstance(site.node, ast.UnaryOp) and isinstance(site.node.op, ast.USub):
        yield site.node.operand
    elif is_result(site) and is_number(site.node):
        yield expression("-x", x=site.node)


@operator
def factor(site: Site) -> Iterator[ast.AST]:
    """A result that is 0.1 % too large."""
    if is_result(site) and is_number(site.node):
        yield expression("1.001 * x", x=site.node)


@operator
def arithmetic(site: Site) -> Iterator[ast.AST]:
    """+ for -, * for /, & for |."""
    if isinstance(site.node, ast.BinOp) and type(site.node.op) in ARITHMETIC and not has_tuple(site.node):
        yield ast.BinOp(site.node.left, ARITHMETIC[type(site.node.op)](), site.node.right)


@operator
def drop(site: Site) -> Iterator[ast.AST]:
    """A term or a factor left out: a + b -> a, b."""
    if isinstance(site.node, ast.BinOp) and not has_tuple(site.node):
        yield from (site.node.left, site.node.right)
    if isinstance(site.node, ast.BoolOp):
        yield from site.node.values


@operator
def constant(site: Site) -> Iterator[ast.AST]:
    """Another number, or the opposite boolean."""
    value = getattr(site.node, "value", None) if isinstance(site.node, ast.Constant) else None
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        near = value * 1.001 if isinstance(value, float) else value + 1
        yield from map(ast.Constant, CONSTANTS.get(value, (near, value / 10) if value >= 10 else (near,)))


@operator
def transpose(site: Site) -> Iterator[ast.AST]:
    """A missing .T, or an extra one in a matrix product."""
    if isinstance(site.node, ast.Attribute) and site.node.attr == "T":
        yield site.node.value
    elif isinstance(site.parent, ast.BinOp) and isinstance(site.parent.op, ast.MatMult):
        yield expression("x.T", x=site.node)


@operator
def compare(site: Site) -> Iterator[ast.AST]:
    """> for >= and for <, == for !=."""
    if isinstance(site.node, ast.Compare) and type(site.node.ops[0]) in COMPARISONS:
        for other in COMPARISONS[type(site.node.ops[0])]:
            yield ast.Compare(site.node.left, [other(), *site.node.ops[1:]], site.node.comparators)


@operator
def axis(site: Site) -> Iterator[ast.AST]:
    """A sum over all axes instead of one."""
    if called(site.node) in SUMS and isinstance(site.node.func, ast.Attribute) and (site.node.args):
        is_method = not isinstance(site.node.func.value, ast.Name) or site.node.func.value.id not in ("jnp", "np")
        yield ast.Call(site.node.func, [] if is_method else site.node.args[:1], site.node.keywords)


@operator
def name(site: Site) -> Iterator[ast.AST]:
    """A wrong residual or a wrong variable: those defined just before and just after."""
    if isinstance(site.node, ast.Name) and site.node.id in site.names and site.field != "func":
        i = site.names.index(site.node.id)
        others = {site.names[i - 1], site.names[(i + 1) % len(site.names)]} - {site.node.id}
        yield from (ast.Name(other, ast.Load()) for other in sorted(others))


@operator
def order(site: Site) -> Iterator[ast.AST]:
    """Two arguments or two results swapped."""
    node = site.node
    if isinstance(node, ast.Tuple) and isinstance(site.parent, ast.Return | ast.Assign) and len(node.elts) > 1:
        yield ast.Tuple([node.elts[1], node.elts[0], *node.elts[2:]], node.ctx)
    if isinstance(node, ast.Call) and called(node) not in COMMUTATIVE and len(node.args) > 1:
        i = 1 if called(node) in ("where", "map") else 0
        args = list(node.args)
        if len(args) > i + 1 and not any(isinstance(a, ast.Starred) for a in args):
            args[i], args[i + 1] = args[i + 1], args[i]
            yield ast.Call(node.func, args, node.keywords)


@operator
def function(site: Site) -> Iterator[ast.AST]:
    """A related function: minimum for maximum, mean for sum, tanh for the logistic function."""
    other = FUNCTIONS.get(called(site.node))
    if other is not None and (hasattr(math, other) or not ast.unparse(site.node.func).startswith("math.")):
        changed = copy.deepcopy(site.node)
        setattr(changed.func, "attr" if isinstance(changed.func, ast.Attribute) else "id", other)
        yield changed


@operator
def unwrap(site: Site) -> Iterator[ast.AST]:
    """A missing function call: f(x) -> x, x.sum(0) -> x, where(c, a, b) -> a, b."""
    node = site.node
    if not isinstance(node, ast.Call) or builds(node) or called(node) in {"issubdtype", "range", "arange", "zip"}:
        return
    if isinstance(node.func, ast.Attribute) and not is_library(node.func.value):
        if not ast.unparse(node.func.value).startswith("self"):
            yield node.func.value
        return
    numbers = [a for a in node.args if is_number(a) or isinstance(a, ast.Constant | ast.Compare)]
    yield from numbers[1:] if called(node) == "where" else numbers[:2]


def is_library(node: ast.AST) -> bool:
    """Whether a node is a module (jnp, jax.lax, jax.random, math), not a value."""
    return ast.unparse(node).split(".")[0] in ("jnp", "jax", "math", "np")


@operator
def reverse(site: Site) -> Iterator[ast.AST]:
    """Layers in the wrong order, or off by one; a slice left out."""
    if not isinstance(site.node, ast.Subscript) or not isinstance(site.node.ctx, ast.Load):
        return
    if ast.unparse(site.node.slice) == "::-1":
        yield expression("x[-2::-1] + x[-1:]", x=site.node.value)
    if isinstance(site.node.slice, ast.Slice | ast.Tuple):
        yield site.node.value


@operator
def branch(site: Site) -> Iterator[ast.AST]:
    """Always the same branch, or the condition negated."""
    if isinstance(site.node, ast.IfExp):
        yield from (site.node.body, site.node.orelse)
    elif isinstance(site.node, ast.BoolOp):
        yield ast.BoolOp(ast.And() if isinstance(site.node.op, ast.Or) else ast.Or(), site.node.values)
    elif isinstance(site.node, ast.UnaryOp) and isinstance(site.node.op, ast.Not):
        yield site.node.operand
    elif isinstance(site.parent, ast.If) and site.field == "test":
        yield expression("not x", x=site.node)


@operator
def statement(site: Site) -> Iterator[ast.AST]:
    """A missing statement: one that rebinds a name, or has only a side effect."""
    if isinstance(site.node, ast.Expr):
        yield ast.Pass()
    if isinstance(site.node, ast.Assign):
        target = site.node.targets[0]
        again = isinstance(target, ast.Name) and target.id in {n.id for n in ast.walk(site.node.value) if is_load(n)}
        if again:
            yield ast.Pass()


def is_load(node: ast.AST) -> bool:
    """Whether a node reads a name."""
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
