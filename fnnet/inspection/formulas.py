"""Formulas with numbers: `a = x w + b`, written out entry by entry as `a[0] = x[0] * w[0,0] + b[0] = 1 * 2 + 3 = 5`.

A formula is one equation, or several with `;` between them, in the arithmetic of Python, with

    x w             matrix product; a number before a name multiplies
    x^2, w^T        power; transpose of the last two axes
    x > 0           1 or 0
    exp log sqrt tanh sigmoid erf abs sign max min where    entry by entry
    sum_b sum_c sum_o                               over rows (all axes but the last), classes (the last axis), and
                                                    outputs (all axes but the first)
    mean_b mean_c                                   over rows, over the last axis
    reshape(x)      the entries of x in the shape of the left side; pi is 3.14159

A gradient with more axes than its parameter is summed over the first of them. What is written otherwise cannot be
filled with numbers; it is printed unchanged, followed by the result.
"""

import ast
import dataclasses
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import Any, TypeAlias

import numpy as np

Terms: TypeAlias = np.ndarray
"""An array of `Term` objects."""

_COMPARED, _NEGATIVE, _SUM, _PRODUCT, _POWER, _ATOM = range(6)  # operator precedence of an expression


@dataclasses.dataclass(frozen=True)
class Text:
    """An expression as it is printed, and how tightly its outermost operator binds."""

    text: str
    binding: int = _ATOM

    def within(self, binding: int) -> str:
        """In parentheses where the expression around it binds tighter."""
        return self.text if self.binding >= binding else f"({self.text})"


@dataclasses.dataclass(frozen=True)
class Term:
    """One expression, read twice, and its value."""

    symbols: Text
    numbers: Text
    value: float


@dataclasses.dataclass(frozen=True)
class Named:
    """An array and what it is called.

    rows    whether its first axis is the batch, which is not printed where B = 1
    spread  whether it is one number per row that multiplies arrays with more axes
    """

    symbol: str
    value: np.ndarray
    rows: bool = True
    spread: bool = False

    def at(self, *index: int) -> Term:
        shown = index[1:] if self.rows and len(self.value) == 1 else index
        where = f"[{','.join(map(str, shown))}]" if shown else ""
        return number(self.value[index], f"{self.symbol}{where}")

    def terms(self, ndim: int) -> Terms:
        """Every entry; with `spread`, in as many axes as ndim says."""
        found = np.empty(self.value.shape, object)
        for index in np.ndindex(self.value.shape):
            found[index] = self.at(*index)
        return found.reshape((-1,) + (1,) * (ndim - 1)) if self.spread else found


def number(value: Any, symbol: str | None = None) -> Term:
    """A number with a symbol, or its digits in place of one; four digits, enough to follow on paper."""
    text = four_digits(value)
    numbers = Text(text, _NEGATIVE if text.startswith("-") else _ATOM)
    return Term(numbers if symbol is None else Text(symbol), numbers, float(value))


def four_digits(value: Any) -> str:
    """`0.1235`; a zero has no sign."""
    return f"{float(value) + 0.0:.4g}"


def equation(left: Term, right: Term | None) -> str:
    """`  a = b * c = 2 * 3 = 6`; equal sides are shown once. None: the result alone."""
    sides = [] if right is None else [right.symbols.text, right.numbers.text]
    if sides and sides[-1] == left.numbers.text:
        sides.pop()
    return "  " + " = ".join([left.symbols.text, *sides, left.numbers.text])


def added(terms: list[Term]) -> Term:
    """The sum of some terms; of more than eight, the first is shown."""
    if len(terms) <= 8:
        return reduce(operation("+"), terms, *([] if terms else [number(0)]))
    value = math.fsum(term.value for term in terms)
    symbols = Text(f"{terms[0].symbols.text} + ... ({len(terms)} terms)", _SUM)
    return Term(symbols, Text(f"{terms[0].numbers.text} + ...", _SUM), value)


@dataclasses.dataclass(frozen=True)
class Equation:
    """One equation of a formula.

    rule    in symbols, as the formula has it
    result  what the left side is called, with its value
    terms   the right side in the shape of the left, or None where it could not be read
    """

    rule: str
    result: Named | None
    terms: Terms | None

    def lines(self, row: int, more: Callable[..., list[Term]] = lambda *index: []) -> Iterator[str]:
        """One line for each entry of a row, or for each entry of what has no rows; more(*index) is added."""
        if self.result is None:
            return
        shape = self.result.value.shape
        terms = self.terms if self._agrees(more) else None
        for index in np.ndindex(shape[1:] if self.result.rows else shape):
            index = (row, *index) if self.result.rows else index
            right = None if terms is None else added([terms[index], *more(*index)])
            yield equation(self.result.at(*index), right)
        if self.terms is not None and terms is None:
            yield "  (the formula gives other numbers; these are the results)"

    def _agrees(self, more: Callable[..., list[Term]]) -> bool:
        """Whether the formula gives the result, which it may not where it does not cover the case."""
        if self.result is None or self.terms is None:
            return False
        found = [term.value + sum(t.value for t in more(*index)) for index, term in np.ndenumerate(self.terms)]
        wanted = self.result.value.ravel()
        tolerance = 0.02 * np.abs(wanted[np.isfinite(wanted)]).max(initial=0) + 1e-6
        return np.allclose(np.array(found, float), wanted, rtol=0, atol=tolerance, equal_nan=True)


def read(formula: str, known: dict[str, Named | None], suffix: str = "") -> Iterator[tuple[str, Equation]]:
    """(left side, Equation) of every equation of a formula.

    known   what names stand for; what an equation defines is added. An equation whose left side is None there (no
            gradient) is left out
    suffix  appended to the names that equations define
    """
    for text in formula.split(";"):
        left, _, right = (side.strip() for side in text.partition("="))
        if left in known and known[left] is None:
            continue
        result = known.get(left)
        terms = _terms(right, known, None if result is None else result.value.shape)
        if result is None:
            result = _defined(f"{left}{suffix}", terms, known, right)
            known[left] = result
        yield left, Equation(_in_symbols(text.strip(), known), result, terms)


def in_symbols(formula: str, known: dict[str, Named | None], suffix: str = "") -> list[str]:
    """The rule of every equation of a formula, as `read` gives it, without any number: for arrays of any size."""
    rules = []
    for text in formula.split(";"):
        left = text.partition("=")[0].strip()
        if left in known and known[left] is None:
            continue
        known.setdefault(left, Named(f"{left}{suffix}", np.zeros(()), rows=False))
        rules.append(_in_symbols(text.strip(), known))
    return rules


def _defined(symbol: str, terms: Terms | None, known: Mapping[str, Named | None], right: str) -> Named | None:
    if terms is None:
        return None
    value = np.vectorize(operator.attrgetter("value"), otypes=[float])(terms)
    rows = any(array.rows for name in names_in(right) if (array := known.get(name)) is not None)
    return Named(symbol, value, rows)


_NAME = re.compile(r"(?<![\w.])[A-Za-z]\w*(?:\.[A-Za-z]\w*)*")


def names_in(formula: str) -> list[str]:
    """Every name in a formula, those of functions included."""
    return _NAME.findall(formula)


def _in_symbols(text: str, known: Mapping[str, Named | None]) -> str:
    """The equation with every name replaced by its symbol."""

    def symbol(match: re.Match) -> str:
        array = known.get(match[0])
        return match[0] if array is None else array.symbol

    return _NAME.sub(symbol, text)


def _terms(text: str, known: Mapping[str, Named | None], shape: tuple[int, ...] | None) -> Terms | None:
    """The expression entry by entry, in the shape of its left side; None where it cannot be read."""
    try:
        tree = ast.parse(_as_python(text), mode="eval").body
        found = np.asarray(_Reader(known, shape).read(tree), object)
        if shape is None:
            return found
        surplus = found.ndim - len(shape)
        return np.broadcast_to(_summed(found, tuple(range(surplus))) if surplus > 0 else found, shape)
    except (SyntaxError, KeyError, ValueError):
        return None


def _as_python(text: str) -> str:
    """`x^T dy` as `T(x) @ dy`, `h^2` as `h**2`, `query.w` as `query__w`."""
    text = re.sub(r"([A-Za-z][\w.]*)\^T\b", r"T(\1)", text)
    text = _NAME.sub(lambda match: match[0].replace(".", "__"), text).replace("^", "**")
    return re.sub(r"(?<=[\w)])\s+(?=[A-Za-z(])", " @ ", text)


_BINARY = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "^",
    ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=",
}  # fmt: skip
_OPERATORS = {  # binding of the whole, of its left and of its right side, and what it computes
    "+": (_SUM, _NEGATIVE, _SUM, operator.add),
    "-": (_SUM, _NEGATIVE, _PRODUCT, operator.sub),
    "*": (_PRODUCT, _PRODUCT, _POWER, lambda a, b: a * b if a and b else 0.0),  # 0 * inf is 0, as in losses
    "/": (_PRODUCT, _PRODUCT, _POWER, np.divide),
    "^": (_POWER, _ATOM, _ATOM, operator.pow),
    **{
        sign: (_COMPARED, _NEGATIVE, _NEGATIVE, compare)
        for sign, compare in ((">", operator.gt), (">=", operator.ge), ("<", operator.lt), ("<=", operator.le))
    },
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh, "erf": math.erf, "abs": abs, "sign": np.sign,
    "max": np.maximum, "min": np.minimum, "where": np.where, "sigmoid": lambda x: (1 + np.tanh(x / 2)) / 2,
}  # fmt: skip


def operation(sign: str) -> Callable[[Term, Term], Term]:
    """The operator as a function of two terms."""
    binding, left, right, compute = _OPERATORS[sign]

    def both(a: Text, b: Text) -> Text:
        return Text(f"{a.within(left)} {sign} {b.within(right)}".replace(" ^ ", "^"), binding)

    def apply(a: Term, b: Term) -> Term:
        with np.errstate(all="ignore"):
            value = float(compute(np.float64(a.value), np.float64(b.value)))
        return Term(both(a.symbols, b.symbols), both(a.numbers, b.numbers), value)

    return apply


def _call(name: str) -> Callable[..., Term]:
    """The function as a function of terms."""

    def apply(*terms: Term) -> Term:
        with np.errstate(all="ignore"):
            value = float(_FUNCTIONS[name](*(term.value for term in terms)))
        symbols, numbers = (
            Text(f"{name}({', '.join(texts)})")
            for texts in zip(*((term.symbols.text, term.numbers.text) for term in terms), strict=True)
        )
        return Term(symbols, numbers, value)

    return apply


def _negative(a: Term) -> Term:
    symbols, numbers = (Text(f"-{text.within(_PRODUCT)}", _NEGATIVE) for text in (a.symbols, a.numbers))
    return Term(symbols, numbers, -a.value)


def _each(function: Callable[..., Term], *arrays: Any) -> Any:
    """The function of every entry; axes of length 1 are repeated, as in NumPy."""
    return np.frompyfunc(function, len(arrays), 1)(*arrays)


def _summed(terms: Terms, axes: tuple[int, ...], keep: bool = False) -> Terms:
    """The sum over some axes, in order."""
    axes = tuple(axis % terms.ndim for axis in axes)
    last = np.moveaxis(terms, axes, range(terms.ndim - len(axes), terms.ndim))
    kept = last.shape[: terms.ndim - len(axes)]
    total = np.empty(kept, object)
    for index in np.ndindex(kept):
        total[index] = added(list(last[index].ravel()))
    return np.expand_dims(total, axes) if keep else total


def _mean(terms: Terms, axes: tuple[int, ...]) -> Terms:
    """The mean over some axes, which are kept with length 1."""
    total = _summed(terms, axes, keep=True)
    return _each(operation("/"), total, number(terms.size // total.size))


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Reads the right side of an equation whose left side has a shape (None: not known before)."""

    known: Mapping[str, Named | None]
    shape: tuple[int, ...] | None

    def read(self, node: ast.AST) -> Any:
        """The node as terms. Raises KeyError for names and operators that mean nothing here."""
        match node:
            case ast.Constant(value=int() | float() as value):
                return number(value)
            case ast.Name(id="pi"):
                return number(math.pi, "pi")
            case ast.Name(id=name):
                return self._array(name.replace("__", "."))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _each(_negative, self.read(operand))
            case ast.BinOp(left=left, op=ast.MatMult(), right=right):
                return _product(self.read(left), self.read(right))
            case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
                return _each(operation(_BINARY[type(op)]), self.read(left), self.read(right))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(name, [self.read(each) for each in arguments])
        raise KeyError(type(node).__name__)

    def _array(self, name: str) -> Terms:
        array = self.known[name]
        if array is None:
            raise KeyError(name)
        return array.terms(max((a.value.ndim for a in self.known.values() if a is not None and a.rows), default=1))

    def _call(self, name: str, arguments: list[Any]) -> Any:
        if name in _FUNCTIONS:
            return _each(_call(name), *arguments)
        (terms,) = (np.asarray(each, object) for each in arguments)
        match name:
            case "T":
                return terms.swapaxes(-1, -2)
            case "reshape" if self.shape is not None:
                return terms.reshape(self.shape)
            case "sum_b":
                return _summed(terms, tuple(range(terms.ndim - 1)))
            case "sum_c":
                return _summed(terms, (-1,), keep=True)
            case "mean_b":
                return _mean(terms, tuple(range(terms.ndim - 1)))
            case "mean_c":
                return _mean(terms, (-1,))
            case "sum_o":
                return _summed(terms, tuple(range(1, terms.ndim)))
        raise KeyError(name)


def _product(a: Any, b: Any) -> Any:
    """The matrix product, of a number and anything the product."""
    a, b = np.asarray(a, object), np.asarray(b, object)
    times = operation("*")
    if a.ndim == 0 or b.ndim == 0:
        return _each(times, a, b)
    if b.ndim == 1:
        return _summed(_each(times, a, b), (-1,))
    return _summed(_each(times, a[..., :, None], b[..., None, :, :]), (-2,))
