"""Numbers without rounding that fnnet's own formulas can be computed with: rationals, symbols, and intervals.

A `Scalar` holds a value of the ring in use and, over rationals and intervals, its slope: the derivatives with respect
to the variables of the proof. Arithmetic carries slopes along (forward mode, the definition of a derivative rather than
the chain rule backwards), so that what comes out of a forward pass knows its exact Jacobian. Over symbols SymPy
differentiates, and slopes stay empty.
"""

import contextlib
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import sympy

DIGITS = 50


class Undecided(ArithmeticError):
    """A comparison whose answer the values do not give."""


class Rationals:
    """`fractions.Fraction`: exact, for what consists of + - * / and comparisons."""

    def constant(self, number: Fraction) -> Fraction:
        return number

    def sign(self, value: Fraction) -> int:
        return (value > 0) - (value < 0)

    def floor(self, value: Fraction) -> int:
        return math.floor(value)

    def power(self, value: Fraction, exponent: Fraction) -> Fraction:
        if exponent.denominator != 1:
            raise TypeError(f"a rational to the power of {exponent} is not rational")
        return value**exponent.numerator

    def function(self, name: str, value: Fraction) -> Fraction:
        raise TypeError(f"{name} of a rational is not rational: prove this subject over symbols or intervals")

    @property
    def pi(self) -> Fraction:
        raise TypeError("pi is not rational: prove this subject over symbols or intervals")


class Symbols:
    """SymPy expressions. A comparison is decided at a witness, one rational number for each symbol.

    So a proof holds for all numbers that take the branches of the witness, which stands on both sides of every kink.
    """

    def __init__(self) -> None:
        self.witness: dict[sympy.Symbol, sympy.Rational] = {}

    def symbol(self, name: str, witness: Fraction) -> sympy.Symbol:
        found = sympy.Symbol(name, positive=True) if witness > 0 else sympy.Symbol(name, negative=True)
        self.witness[found] = self.constant(witness)
        return found

    def constant(self, number: Fraction) -> sympy.Rational:
        return sympy.Rational(number.numerator, number.denominator)

    def at_witness(self, value: sympy.Expr) -> sympy.Expr:
        """The value at the witness, to 40 digits."""
        return value.evalf(40, subs=self.witness)

    def sign(self, value: sympy.Expr) -> int:
        if value == 0:
            return 0
        there = self.at_witness(value)
        if abs(there) < 1e-25:
            if sympy.simplify(value) != 0:
                raise Undecided(f"{value} is {there} at the witness, and may be 0")
            return 0
        return 1 if there > 0 else -1

    def floor(self, value: sympy.Expr) -> int:
        nearest = int(sympy.floor(self.at_witness(value) + sympy.Rational(1, 2)))
        return nearest - (self.sign(value - nearest) < 0)

    def power(self, value: sympy.Expr, exponent: sympy.Expr) -> sympy.Expr:
        return value**exponent

    def function(self, name: str, value: sympy.Expr) -> sympy.Expr:
        return getattr(sympy, name)(value)

    @property
    def pi(self) -> sympy.Expr:
        return sympy.pi


class Intervals:
    """mpmath intervals of 50 digits: the true value lies inside, so two that lie apart are two numbers."""

    def constant(self, number: Fraction) -> Any:
        return mpmath.iv.mpf(number.numerator) / number.denominator

    def sign(self, value: Any) -> int:
        if value.a > 0:
            return 1
        if value.b < 0:
            return -1
        if value.a == value.b == 0:
            return 0
        raise Undecided(f"{value} has both signs")

    def floor(self, value: Any) -> int:
        low, high = (int(mpmath.floor(mpmath.mpf(end))) for end in (value.a, value.b))
        if low != high:
            raise Undecided(f"{value} has a whole number inside")
        return low

    def power(self, value: Any, exponent: Any) -> Any:
        if exponent.a == exponent.b == int(exponent.a):
            return value ** int(exponent.a)
        return mpmath.iv.exp(exponent * mpmath.iv.log(value))

    def function(self, name: str, value: Any) -> Any:
        return getattr(mpmath.iv, name)(value)

    @property
    def pi(self) -> Any:
        return mpmath.iv.pi


_ring: Any = Rationals()


def ring() -> Any:
    """The ring in use."""
    return _ring


@contextlib.contextmanager
def computing_in(new: Any) -> Iterator[None]:
    """Every number inside is one of this ring."""
    global _ring
    before, _ring = _ring, new
    digits, mpmath.iv.dps = mpmath.iv.dps, DIGITS
    try:
        yield
    finally:
        _ring, mpmath.iv.dps = before, digits


def exact(number: Any) -> Fraction:
    """The number that a program means by a constant: 0.1 is a tenth.

    Raises ValueError for a float of more than 15 digits, which is no constant but the result of rounding.
    """
    if isinstance(number, Fraction):
        return number
    if isinstance(number, bool | np.bool_ | int | np.integer):
        return Fraction(int(number))
    if not isinstance(number, float | np.floating):
        raise TypeError(f"{number!r} is not a number")
    text = repr(float(number))
    if len(text.split("e")[0].replace(".", "").strip("-0")) > 15:
        raise ValueError(f"{text} was rounded: an irrational constant needs a name that the proof can replace")
    return Fraction(text)


def lifted(number: Any) -> "Scalar":
    """A number as a `Scalar` of the ring in use."""
    if isinstance(number, Scalar):
        return number
    if isinstance(number, np.ndarray) and number.ndim == 0:
        return lifted(number.item())
    if isinstance(number, float | np.floating) and not math.isfinite(number):
        return Scalar(float(number))
    return Scalar(_ring.constant(exact(number)))


class Scalar:
    """value: of the ring in use, or a float that is infinite or NaN. slope: {variable: derivative}."""

    __slots__ = ("slope", "value")

    def __init__(self, value: Any, slope: dict[int, Any] | None = None) -> None:
        self.value, self.slope = value, slope or {}

    def __repr__(self) -> str:
        return f"Scalar({self.value})"

    def _is_infinite(self) -> bool:
        return isinstance(self.value, float)

    def _moved(self, value: Any, factor: Any) -> "Scalar":
        """A function of self with this value and derivative."""
        return Scalar(value, {i: factor * d for i, d in self.slope.items()})

    def __add__(self, other: Any) -> "Scalar":
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = lifted(other)
        if self._is_infinite() or other._is_infinite():
            return _infinite_sum(self, other)
        return Scalar(self.value + other.value, _joined(self.slope, 1, other.slope, 1))

    def __mul__(self, other: Any) -> "Scalar":
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = _finite(lifted(other))
        a, b = _finite(self).value, other.value
        return Scalar(a * b, _joined(self.slope, b, other.slope, a))

    def __truediv__(self, other: Any) -> "Scalar":
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = _finite(lifted(other))
        a, b = _finite(self).value, other.value
        return Scalar(a / b, _joined(self.slope, 1 / b, other.slope, -a / (b * b)))

    def __pow__(self, other: Any) -> "Scalar":
        if isinstance(other, np.ndarray):
            return NotImplemented
        n = lifted(other)
        if n.slope:
            raise TypeError("expected an exponent that does not depend on the inputs")
        value = _ring.power(self.value, n.value)
        return self._moved(value, n.value * _ring.power(self.value, n.value - 1)) if self.slope else Scalar(value)

    def __neg__(self) -> "Scalar":
        return Scalar(-self.value, {i: -d for i, d in self.slope.items()})

    def __sub__(self, other: Any) -> "Scalar":
        return NotImplemented if isinstance(other, np.ndarray) else self + -lifted(other)

    def __rsub__(self, other: Any) -> "Scalar":
        return lifted(other) - self

    def __rtruediv__(self, other: Any) -> "Scalar":
        return lifted(other) / self

    def __rpow__(self, other: Any) -> "Scalar":
        return lifted(other) ** self

    __radd__, __rmul__ = __add__, __mul__

    def _sign_of_difference(self, other: Any) -> int:
        other = lifted(other)
        if self is other:
            return 0
        difference = self + -other
        if difference._is_infinite():
            return 1 if difference.value > 0 else -1
        return _ring.sign(difference.value)

    def __lt__(self, other: Any) -> bool:
        return NotImplemented if isinstance(other, np.ndarray) else self._sign_of_difference(other) < 0

    def __le__(self, other: Any) -> bool:
        return NotImplemented if isinstance(other, np.ndarray) else self._sign_of_difference(other) <= 0

    def __gt__(self, other: Any) -> bool:
        return NotImplemented if isinstance(other, np.ndarray) else self._sign_of_difference(other) > 0

    def __ge__(self, other: Any) -> bool:
        return NotImplemented if isinstance(other, np.ndarray) else self._sign_of_difference(other) >= 0

    def __eq__(self, other: Any) -> Any:
        return NotImplemented if isinstance(other, np.ndarray) else self._sign_of_difference(other) == 0

    __hash__ = None  # type: ignore[assignment]

    def __abs__(self) -> "Scalar":
        return -self if self < 0 else self

    def __floor__(self) -> "Scalar":
        return lifted(_ring.floor(self.value))

    def __int__(self) -> int:
        """Of a whole number: its floor."""
        return _ring.floor(self.value)

    def rint(self) -> "Scalar":
        """The nearest whole number; of two the even one."""
        above = math.floor(self + Fraction(1, 2))
        is_odd_tie = above - self == Fraction(1, 2) and int(above.value) % 2 == 1
        return above - 1 if is_odd_tie else above

    def exp(self) -> "Scalar":
        if self._is_infinite() and self.value < 0:
            return lifted(0)
        e = _ring.function("exp", _finite(self).value)
        return self._moved(e, e)

    def log(self) -> "Scalar":
        return self._moved(_ring.function("log", self.value), 1 / self.value)

    def sqrt(self) -> "Scalar":
        root = _ring.function("sqrt", self.value)
        return self._moved(root, 1 / (2 * root)) if self.slope else Scalar(root)

    def cos(self) -> "Scalar":
        return self._moved(_ring.function("cos", self.value), -_ring.function("sin", self.value))

    def sin(self) -> "Scalar":
        return self._moved(_ring.function("sin", self.value), _ring.function("cos", self.value))

    def erfc(self) -> "Scalar":
        """SymPy's own: mpmath has no intervals of it."""
        return Scalar(_ring.function("erfc", self.value))

    def expm1(self) -> "Scalar":
        return self.exp() - 1

    def log1p(self) -> "Scalar":
        return (1 + self).log()

    def logistic(self) -> "Scalar":
        return 1 / (1 + (-self).exp())

    def tanh(self) -> "Scalar":
        return 1 - 2 / ((2 * self).exp() + 1)


def _joined(a: dict[int, Any], by: Any, b: dict[int, Any], other: Any) -> dict[int, Any]:
    """by * a + other * b."""
    if not a and not b:
        return {}
    total = {i: by * d for i, d in a.items()}
    for i, d in b.items():
        total[i] = total[i] + other * d if i in total else other * d
    return total


def _finite(number: Scalar) -> Scalar:
    if number._is_infinite():
        raise ArithmeticError("a number that is not finite, times or by another")
    return number


def _infinite_sum(a: Scalar, b: Scalar) -> Scalar:
    """a + b where at least one is not finite."""
    total = sum(each.value for each in (a, b) if each._is_infinite())
    if math.isnan(total):
        raise ArithmeticError("a sum of NaN, or infinity less infinity")
    return Scalar(total)
