"""Where a forward chooses between two formulas, and which of them the inputs took.

A gradient that was compared on one side of a kink says nothing about the other side. `both_sides` runs a function
operation by operation, inside whatever compiles it, and notes at every choice that depends on the inputs whether one
of the entries took the one side and one the other:

    where                          a False and a True in the condition
    a condition used as a number   the same: (x > 0) * x
    maximum, minimum, clip         the first argument larger, and the second
    abs, sign                      an entry below 0, and one above
    jax.lax.cond, switch           the first branch, and another one

Not counted are choices that the inputs cannot change (a causal mask), those within the drawing of noise, and guards:
conditions that ask only whether a number is NaN, finite, or exactly one constant, and choices whose other side is NaN.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jaxtyping import Array, Bool

_JAX = Path(jax.__file__).parent
_CALLS = {"pjit": "jaxpr", "jit": "jaxpr", "closed_call": "call_jaxpr", "remat": "jaxpr", "checkpoint": "jaxpr"}
_CALLS |= {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
_COPIES = {"broadcast_in_dim", "convert_element_type", "reshape", "copy", "squeeze", "transpose", "stop_gradient"}
_LOGIC = {"not", "and", "or", "xor", "reduce_and", "reduce_or", *_COPIES}
_NAMES = {"select_n": "where", "convert_element_type": "condition as a number", "max": "maximum", "min": "minimum"}


class Branch(NamedTuple):
    """A choice in a forward: the function it stands in with what chooses, `Relu.forward: maximum`, file and line."""

    name: str
    file: str
    line: int


class _Place(NamedTuple):
    function: str
    file: str
    line: int


class _Fact(NamedTuple):
    """What is known of a value: whether inputs change it, or the key, whether it is a guard, whether it is NaN."""

    depends: bool = False
    is_noise: bool = False
    is_guard: bool = False
    is_nan: bool = False


class _Value(NamedTuple):
    array: Any
    fact: _Fact


class _Choice(NamedTuple):
    branch: Branch
    sides: Bool[Array, "2"]


def both_sides(f: Callable[..., Any], *args: Any) -> tuple[list[Branch], list[Bool[Array, "2"]]]:
    """The branches of f(*args), each once, and for each whether its first and its second side were taken.

    May be called while tracing: the branches are known then, the sides are traced.
    """
    closed = jax.make_jaxpr(f)(*args)
    values = [_Value(leaf, _Fact(depends=True)) for leaf in jax.tree.leaves(args)]
    found: list[_Choice] = []
    _run(closed.jaxpr, closed.consts, values, found, _Place("forward", "", 0))
    times, branches = Counter(), []
    for choice in found:
        times[choice.branch.name] += 1
        number = times[choice.branch.name]
        branches.append(choice.branch._replace(name=choice.branch.name + (f" #{number}" if number > 1 else "")))
    return branches, [choice.sides for choice in found]


def _run(
    jaxpr: Jaxpr, consts: Sequence[Any], inputs: list[_Value], found: list[_Choice], caller: _Place
) -> list[_Value]:
    """The outputs of a jaxpr; choices are appended to `found`. `caller` is where the code asked for all of it."""
    known = {var: _Value(const, _fact_of(const)) for var, const in zip(jaxpr.constvars, consts, strict=True)}
    known |= dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> _Value:
        return _Value(atom.val, _fact_of(atom.val)) if isinstance(atom, Literal) else known[atom]

    for equation in jaxpr.eqns:
        given = [read(atom) for atom in equation.invars]
        place, sides = _place_of(equation) or caller, _sides(equation, given)
        if sides is not None:
            found.append(_Choice(Branch(f"{place.function}: {_name_of(equation)}", place.file, place.line), sides))
        known |= dict(zip(equation.outvars, _outputs(equation, given, found, place), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _outputs(equation: Any, given: list[_Value], found: list[_Choice], place: _Place) -> list[_Value]:
    """What an operation gives: calls and scans are entered, everything else is done as it is."""
    name = equation.primitive.name
    if name in _CALLS:
        inner = equation.params[_CALLS[name]]
        inner = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
        return _run(inner.jaxpr, inner.consts, given, found, place)
    facts = [value.fact for value in given]
    depends, noise = any(fact.depends for fact in facts), any(fact.is_noise for fact in facts)
    if name == "scan" and depends:
        return _scan(equation, given, found, place)
    bound = equation.primitive.get_bind_params(equation.params)  # older versions of JAX: with functions before them
    functions, params = bound if isinstance(bound, tuple) else ((), bound)
    arrays = equation.primitive.bind(*functions, *(value.array for value in given), **params)
    guard = _is_guard(equation, given) or (name in _LOGIC and all(fact.is_guard for fact in facts))
    fact = _Fact(depends, noise, guard, name in _COPIES and facts[0].is_nan)
    return [_Value(array, fact) for array in (arrays if equation.primitive.multiple_results else [arrays])]


def _scan(equation: Any, given: list[_Value], found: list[_Choice], place: _Place) -> list[_Value]:
    """A scan whose steps also give the sides that they took: a side counts if it is taken in any step."""
    body, consts, carried = equation.params["jaxpr"], equation.params["num_consts"], equation.params["num_carry"]
    branches: list[Branch] = []

    def step(carry: list[Any], x: list[Any]) -> tuple[list[Any], tuple[list[Any], list[Any]]]:
        inner: list[_Choice] = []
        arrays = [*(value.array for value in given[:consts]), *carry, *x]
        out = _run(body.jaxpr, body.consts, [_Value(array, _Fact(depends=True)) for array in arrays], inner, place)
        branches[:] = [choice.branch for choice in inner]
        return [v.array for v in out[:carried]], ([v.array for v in out[carried:]], [c.sides for c in inner])

    start = [value.array for value in given[consts : consts + carried]]
    carry, (stacked, sides) = jax.lax.scan(
        step,
        start,
        [value.array for value in given[consts + carried :]],
        length=equation.params["length"],
        reverse=equation.params["reverse"],
    )
    found += [_Choice(branch, side.any(0)) for branch, side in zip(branches, sides, strict=True)]
    return [_Value(array, _Fact(depends=True)) for array in (*carry, *stacked)]


def _sides(equation: Any, given: list[_Value]) -> Bool[Array, "2"] | None:
    """Whether each side was taken; None for what is no choice, or none that the inputs change."""
    arrays, name = [value.array for value in given], equation.primitive.name
    if any(value.fact.depends for value in given):
        if name in ("max", "min") and _is_float(arrays[0]):
            return _pair(arrays[0] > arrays[1], arrays[0] < arrays[1])
        if name in ("abs", "sign") and _is_float(arrays[0]):
            return _pair(arrays[0] < 0, arrays[0] > 0)
        if name == "clamp":
            is_inside = (arrays[0] < arrays[1]) & (arrays[1] < arrays[2])
            return _pair(is_inside, ~is_inside)
    if not given or given[0].fact.is_guard or not (given[0].fact.depends or given[0].fact.is_noise):
        return None
    if name == "cond":
        return _pair(arrays[0] == 0, arrays[0] != 0)
    chooses = name == "select_n" and not any(value.fact.is_nan for value in given[1:])
    chooses = chooses or name == "convert_element_type"
    if arrays[0].dtype == bool and chooses and jnp.issubdtype(equation.outvars[0].aval.dtype, jnp.floating):
        return _pair(~arrays[0], arrays[0])
    return None


def _pair(one: Array, other: Array) -> Bool[Array, "2"]:
    return jnp.stack([one.any(), other.any()])


def _is_float(a: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(a), jnp.floating)


def _fact_of(const: Any) -> _Fact:
    """Of what a function holds: arrays count as inputs, such as targets, and keys as noise; single numbers do not."""
    is_key = jnp.issubdtype(jnp.result_type(const), jax.dtypes.prng_key)
    if is_key or jnp.ndim(const) > 0 or isinstance(const, Tracer):
        return _Fact(depends=not is_key and jnp.ndim(const) > 0, is_noise=is_key)
    number = np.asarray(const)  # comparing a JAX array would be traced
    return _Fact(is_nan=bool(number != number))


def _is_guard(equation: Any, given: list[_Value]) -> bool:
    """Whether an operation asks only for NaN (`isnan(x)` is x != x), for infinity, or for exactly one constant."""
    if equation.primitive.name not in ("eq", "ne"):
        return equation.primitive.name == "is_finite"
    is_of_one = equation.invars[0] is equation.invars[1] or not all(value.fact.depends for value in given)
    return is_of_one and _is_float(given[0].array)


def _name_of(equation: Any) -> str:
    name: str = equation.primitive.name
    return _NAMES.get(name, name)


def _place_of(equation: Any) -> _Place | None:
    """The innermost function outside JAX that asked for an operation; None inside what JAX itself compiles."""
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback else ():
        if not Path(frame.file_name).is_relative_to(_JAX):
            return _Place(frame.function_name, frame.file_name, frame.line_num)
    return None
