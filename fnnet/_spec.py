"""What a spec is: an immutable description of a layer, a loss, an optimizer, a whole model.

A spec is a frozen dataclass and a JAX pytree at once:

* a *number* (a rate, a scale, a learning rate) is a leaf: change it and the compiled program stays;
* a field made with `static()` (a width, a switch) is part of the tree's structure: change it and JAX
  compiles another program;
* `None` is not in the program at all.

So equal specs share one program, a new learning rate never recompiles, and a sweep is the same
program over a spec whose numbers are arrays.
"""

import dataclasses
import functools
import numbers
from types import NoneType
from typing import Any, Literal, NoReturn, TypeVar, dataclass_transform, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike

from fnnet._values import at_least_float32
from fnnet.protocols import (
    Cell,
    Initializer,
    Layer,
    Loss,
    Number,
    Optimizer,
    Params,
    Penalty,
    Schedule,
    Selector,
    is_statistics,
)


def static(default: Any = dataclasses.MISSING) -> Any:
    """A field that changes the program: `features: int = static()`, `nesterov: bool = static(default=False)`."""
    return dataclasses.field(default=default, metadata={"static": True})


_Class = TypeVar("_Class", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(static, dataclasses.field))
def spec(cls: _Class) -> _Class:
    """Class decorator: a frozen dataclass, a pytree of its numbers, compared and hashed by value.

    When a person builds a spec, every number becomes a Python float (so that 0.1, np.float32(0.1) and
    jnp.float32(0.1) share one program), lists become tuples, and the class's own `check()` runs. When
    JAX rebuilds one around tracers or axes, nothing runs.

    Raises TypeError for a bool or a string where a number belongs, and for a class with a field of ints, bools or
    strings that is not `static()`: during compilation such a field would hold a tracer.
    """

    if "__post_init__" in vars(cls):
        raise TypeError(f"{cls.__name__}: a spec has no __post_init__; write check(self)")

    def post_init(self: Any) -> None:
        if type(self) is not cls:
            raise TypeError(
                f"{type(self).__name__}: write @fnnet.spec above the class, as above {cls.__name__}, its parent"
            )
        for field in fields:
            value = getattr(self, field.name)
            if field.name in leaf_names:
                value = _as_leaf(cls.__name__, field, value)
            object.__setattr__(self, field.name, _as_static(value) if field.name in static_names else value)
        if hasattr(self, "check"):
            self.check()

    def unflatten(static_values: Any, leaves: Any) -> Any:
        self = object.__new__(cls)
        for name, value in zip((*static_names, *leaf_names), (*static_values, *leaves), strict=True):
            object.__setattr__(self, name, value)
        return self

    def flatten(self: Any) -> tuple:
        return tuple(getattr(self, n) for n in leaf_names), tuple(getattr(self, n) for n in static_names)

    def flatten_with_keys(self: Any) -> tuple:
        leaves, static_values = flatten(self)
        return [*zip(map(jax.tree_util.GetAttrKey, leaf_names), leaves, strict=True)], static_values

    methods = {"__post_init__": post_init, "__eq__": _equal, "__hash__": _hash, "__repr__": _repr}
    if hasattr(cls, "value_at"):
        methods |= dict.fromkeys(_ARITHMETIC, _needs_a_step)
    for name, method in methods.items():
        if name not in vars(cls):
            setattr(cls, name, method)
    cls = dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
    fields = dataclasses.fields(cls)
    for field in fields:
        _check_annotation(cls.__name__, field)
    leaf_names = tuple(f.name for f in fields if not f.metadata.get("static"))
    static_names = tuple(f.name for f in fields if f.metadata.get("static"))
    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


_OPERATORS = ("add", "sub", "mul", "truediv", "pow")
_ARITHMETIC = (*(f"__{name}__" for name in _OPERATORS), *(f"__r{name}__" for name in _OPERATORS), "__neg__")


def _needs_a_step(self: Any, *other: Any) -> NoReturn:
    """Instead of arithmetic with a schedule, which has a value only at a step."""
    raise TypeError(
        f"{type(self).__name__} is a schedule, a number only at a step: "
        f"write fnnet.at_step(spec, step, dtype) of the spec that contains it, as train_step does"
    )


def _check_annotation(owner: str, field: dataclasses.Field) -> None:
    """Raise TypeError for a field that must be static by its type and is not."""
    if field.metadata.get("static") or not _is_structure(field.type):
        return
    shown = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", repr(field.type))
    if get_origin(field.type) is not None:
        shown = repr(field.type)
    default = "" if field.default is dataclasses.MISSING else f"default={field.default!r}"
    raise TypeError(
        f"{owner}: a field of type {shown} changes the program; write {field.name}: {shown} = static({default}), "
        f"or {field.name}: Number for a number that may be swept"
    )


def _is_structure(annotation: Any) -> bool:
    """Whether an annotation is made of int, bool and str alone, such as `int | None`: nothing that is swept."""
    if get_origin(annotation) is None:
        return annotation in (int, bool, str, "int", "bool", "str")
    inner = [a for a in get_args(annotation) if a not in (NoneType, Ellipsis)]
    return get_origin(annotation) is Literal or all(map(_is_structure, inner))


def _as_static(value: Any) -> Any:
    """A static value in the one form that identifies a compiled program: lists as tuples, NumPy's ints as ints."""
    if type(value) in (list, tuple):
        return tuple(map(_as_static, value))
    return value.item() if isinstance(value, np.generic) else value


def _as_leaf(owner: str, field: dataclasses.Field, value: Any) -> Any:
    """A field as a person wrote it, in the one form that identifies a compiled program.

    None is allowed only where it has a meaning: where it is the default, or the field is `Number | None`. A string in
    place of a layer or a loss is left to the class's own `check()`, which can say what belongs there.
    """
    parts = value if type(value) in (list, tuple) else [value]
    if _is_contract(field.type) and any(part is None or isinstance(part, str) for part in parts):
        return value
    is_number = field.default is dataclasses.MISSING or isinstance(field.default, int | float)
    if value is None and is_number and field.type != (Any | None):
        raise TypeError(f"{owner}: expected {field.name} to be a number, got None")
    return _as_number(f"{owner}: expected {field.name} to be a number", value)


def _is_contract(annotation: Any) -> bool:
    """Whether an annotation names a contract: `Layer`, `Penalty | None`, `Sequence[Layer]`."""
    contracts = (Cell, Initializer, Layer, Loss, Optimizer, Penalty, Selector)
    return annotation in contracts or any(map(_is_contract, get_args(annotation)))


def _as_number(expected: str, value: Any) -> Any:
    if type(value) in (list, tuple):
        return tuple(_as_number(expected, v) for v in value)
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, np.ndarray | jax.Array) and not isinstance(value, Tracer):
        if not jnp.issubdtype(value.dtype, jnp.number):
            raise TypeError(f"{expected}, got an array of {value.dtype}")
        return float(value) if value.ndim == 0 else _frozen(value)
    if isinstance(value, bool | np.generic | str | bytes | numbers.Number):
        raise TypeError(f"{expected}, got {value!r}")
    return value


def _frozen(array: Any) -> Any:
    """The array, or a read-only copy of one that somebody could still write to."""
    if isinstance(array, np.ndarray):
        array = array.copy()
        array.setflags(write=False)
    return array


def _equal(a: Any, b: Any) -> bool:
    return (
        type(a) is type(b)
        and jax.tree.structure(a) == jax.tree.structure(b)
        and all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
    )


def _hash(self: Any) -> int:
    numbers = tuple(tuple(np.asarray(x, np.float64).ravel().tolist()) for x in jax.tree.leaves(self))
    return hash((jax.tree.structure(self), numbers))


def _repr(self: Any) -> str:
    """`Dense(features=128)`: the fields that say something, so that a printed spec is the architecture."""
    shown = [
        f"{f.name}={value!r}"
        for f in dataclasses.fields(self)
        if (value := getattr(self, f.name)) is not f.default and not _is_default(value, f.default)
    ]
    return f"{type(self).__name__}({', '.join(shown)})"


def _is_default(value: Any, default: Any) -> bool:
    return type(value) is type(default) and not isinstance(value, np.ndarray | jax.Array) and value == default


def check_range(
    owner: object,
    name: str,
    *,
    low: float | int = -np.inf,
    high: float | int = np.inf,
    low_open: bool = False,
    high_open: bool = False,
    required: bool = False,
) -> None:
    """Raise ValueError unless the number `owner.name` lies in the interval; for a spec's `check()`.

    None, schedules and tracers pass: they have no value yet. Arrays (a sweep) are checked entry by entry.
    NaN is never inside. With `required`, None does not pass.
    """
    value = getattr(owner, name)
    if value is None and required:
        raise ValueError(f"{type(owner).__name__}: expected {name} to be a number or a schedule, got None")
    if value is None or isinstance(value, Tracer | Schedule) or dataclasses.is_dataclass(value):
        return
    v = np.asarray(value)
    inside = (v > low if low_open else v >= low) & (v < high if high_open else v <= high)
    if not np.all(inside):
        below, above = "<" if low_open else "<=", "<" if high_open else "<="
        left = "" if low == -np.inf else f"{low:g} {below} "
        right = "" if high == np.inf else f" {above} {high:g}"
        raise ValueError(f"{type(owner).__name__}: expected {left}{name}{right}, got {value}")


def check_floating(owner: object, x: Array) -> None:
    """Raise TypeError for integers, such as bytes of an image; for a layer's forward."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"{type(owner).__name__}.forward: expected floating numbers, got {x.dtype}; put Rescale(1 / 255) before it"
        )


_Specs = TypeVar("_Specs")


def at_step(specs: _Specs, step: ArrayLike, dtype: DTypeLike) -> _Specs:
    """The specs at one step: every schedule replaced by its number, every number in `dtype`.

    step is an integer (0 at the first update), dtype that of the parameters. Schedules are evaluated in
    float32 or better (bfloat16 cannot count past 256) and then cast. The first line of a training step.
    """
    wide = at_least_float32(dtype)

    def number(value: Number) -> Array:
        if not isinstance(value, Schedule):
            return jnp.asarray(value, dtype)
        schedule: Any = value
        if not getattr(value, "reads_its_own_parts", False):
            parts, tree = jax.tree.flatten(value, is_leaf=lambda s: s is not value and isinstance(s, Schedule))
            schedule = tree.unflatten(at_step(part, step, wide) for part in parts)
        return jnp.asarray(schedule.value_at(jnp.asarray(step, wide)), dtype)

    return jax.tree.map(number, specs, is_leaf=lambda s: isinstance(s, Schedule))


def as_numbers(specs: _Specs, dtype: DTypeLike, caller: str) -> _Specs:
    """The specs with every number in `dtype`, outside of training, where schedules have no value.

    Raises ValueError naming `caller` where there is a schedule.
    """
    leaves = jax.tree.leaves(specs, is_leaf=lambda s: isinstance(s, Schedule))
    for schedule in (s for s in leaves if isinstance(s, Schedule)):
        hint = "pass step=state.step" if caller == "evaluate" else "pass fnnet.at_step(model, state.step, dtype)"
        raise ValueError(f"{caller}: a {type(schedule).__name__} needs a step to be a number; {hint}")
    return jax.tree.map(lambda value: jnp.asarray(value, dtype), specs)


def parameter_dtype(params: Params, x: Any = None) -> jnp.dtype:
    """The dtype that a step computes in: that of the first floating parameter, running statistics aside.

    Where there is none, that of the input x; where that is integer, JAX's default.
    """
    learned = (p for p in jax.tree.leaves(params, is_leaf=is_statistics) if not is_statistics(p))
    dtypes = (jnp.result_type(a) for a in (*learned, *jax.tree.leaves(x)))
    return next((dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)), jnp.result_type(float))


@functools.partial(jax.tree_util.register_dataclass, data_fields=(), meta_fields=("value",))
@dataclasses.dataclass(frozen=True)
class Static:
    """A static fact, such as a shape, among residuals, which are otherwise pytrees of arrays: part of the structure."""

    value: Any
