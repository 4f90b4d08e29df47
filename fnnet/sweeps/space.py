"""The points of a sweep: paths into nested specs, grids of values, random search, and many specs as one.

    base = Configuration(model, fnnet.Adam(1e-3), batch_size=128)
    points = grid(base, {"optimizer.learning_rate": (1e-3, 3e-3), "model.network[2]": (fnnet.Relu(), fnnet.Tanh())})
    points += sample(base, {"optimizer.learning_rate": Between(1e-4, 1e-1, log=True)}, count=100, seed=0)

A path is written as in Python, `"optimizer.learning_rate"`. An index goes into the one tuple that a spec holds:
`"model.network[2].rate"` is the rate of the third layer of a `Serial`, `"optimizer[0].learning_rate"` that of the first
transformation of a `Chain`; `"model.network[1, 3]"` sets two layers to the same value. A path may lead to a number, a
static field or a whole spec. Points are a tuple: slice it, filter it, add to it.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import jax
import numpy as np

from fnnet._spec import spec, static
from fnnet.model import Model
from fnnet.protocols import Optimizer, is_spec_of

Label: TypeAlias = bool | int | float | str | None
Spec = TypeVar("Spec")

_PART = re.compile(r"\.?([^\W\d]\w*)|\[(-?\d+(?:, ?-?\d+)*)\]")


@spec
class Configuration:
    """Model, optimizer and batch size of one run of a sweep, as in `fnnet.train`."""

    model: Model
    optimizer: Optimizer
    batch_size: int = static()

    def check(self) -> None:
        if not isinstance(self.model, Model):
            raise TypeError(f"Configuration: expected model to be a Model such as mlp((2, 4, 1)), got {self.model!r}")
        if not is_spec_of(self.optimizer, Optimizer):
            raise TypeError(f"Configuration: expected an optimizer such as Adam(1e-3), got {self.optimizer!r}")
        if type(self.batch_size) is not int or self.batch_size < 1:
            raise ValueError(f"Configuration: expected batch_size to be an int of 1 or more, got {self.batch_size!r}")


class Point(NamedTuple):
    """One configuration, and how the results describe it.

    settings       name -> value (a number, a string or None) of what was varied
    configuration  the spec
    """

    settings: dict[str, Label]
    configuration: Any


class Between(NamedTuple):
    """Numbers drawn uniformly between low and high; with `log`, uniformly on a logarithmic scale."""

    low: float | int
    high: float | int
    log: bool = False


def grid(base: Any, values: Mapping[str, Iterable[Any]]) -> tuple[Point, ...]:
    """Every combination of the values at their paths, the last path changing fastest.

    base    any spec; for `sweep` a Configuration
    values  path -> values; a dict {label: value} labels them, otherwise numbers and strings are their own labels and a
            spec is labeled with its repr. Values are set in this order, so a later path may lead into an earlier value

    Raises ValueError for a path that leads nowhere or has no values, and what the specs raise for a bad value.
    """
    labeled = [_labeled(v, f"grid: {path}") for path, v in values.items()]
    return tuple(_point(base, values, combination) for combination in itertools.product(*labeled))


def sample(base: Any, values: Mapping[str, Between | Iterable[Any]], *, count: int, seed: int) -> tuple[Point, ...]:
    """`count` random points: at each path a number from its `Between`, or one of its values with equal probability.

    Every path has a random stream of its own, spawned from seed in order, so a larger sample begins with the smaller.
    Raises ValueError as `grid` does, and for bounds that are not low < high (0 < low where `log`).
    """
    if count < 1:
        raise ValueError(f"sample: expected a count of 1 or more, got {count}")
    streams = np.random.default_rng(seed).spawn(len(values))
    columns = [_sampled(v, count, stream, f"sample: {path}")
               for (path, v), stream in zip(values.items(), streams, strict=True)]  # fmt: skip
    return tuple(_point(base, values, combination) for combination in zip(*columns, strict=True))


def _sampled(
    values: Between | Iterable[Any], count: int, stream: np.random.Generator, where: str
) -> list[tuple[Label, Any]]:
    if not isinstance(values, Between):
        labeled = _labeled(values, where)
        return [labeled[i] for i in stream.integers(0, len(labeled), count)]
    low, high, log = values
    if not (0 if log else -np.inf) < low < high < np.inf:
        raise ValueError(f"{where}: expected {'0 < ' if log else ''}low < high, got {values}")
    numbers = np.exp(stream.uniform(np.log(low), np.log(high), count)) if log else stream.uniform(low, high, count)
    return [(number, number) for number in numbers.tolist()]


def _labeled(values: Iterable[Any], where: str) -> list[tuple[Label, Any]]:
    """(label, value) pairs."""
    if isinstance(values, Mapping):
        pairs = [(label_of(label), value) for label, value in values.items()]
    elif isinstance(values, Iterable) and not isinstance(values, str):
        pairs = [(label_of(value), value) for value in values]
    else:
        raise ValueError(f"{where}: expected values such as (1e-3, 1e-2) or {{'a label': value}}, got {values!r}")
    if not pairs:
        raise ValueError(f"{where}: expected at least one value, got none")
    return pairs


def label_of(value: Any) -> Label:
    """A value as results and their files show it: a Python number, bool, string or None; otherwise its repr."""
    value = value.item() if isinstance(value, np.generic | np.ndarray | jax.Array) and value.ndim == 0 else value
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def _point(base: Any, paths: Iterable[str], combination: Iterable[tuple[Label, Any]]) -> Point:
    """combination: (label, value) at each path."""
    settings = {}
    for path, (label, value) in zip(paths, combination, strict=True):
        base = put(base, path, value)
        settings[path] = label
    return Point(settings, base)


def put(base: Spec, path: str, value: Any) -> Spec:
    """The spec with value at the path; every spec along the path is rebuilt, so its own check runs.

    Raises ValueError for a path that leads nowhere, naming the part and what is there.
    """
    parts: list[str | tuple[int, ...]] = []
    end = 0
    while found := _PART.match(path, end):
        parts.append(found[1] or tuple(map(int, found[2].split(","))))
        end = found.end()
    if end != len(path) or not parts:
        raise ValueError(f"expected a path such as 'optimizer.learning_rate' or 'model.network[2].rate', got {path!r}")
    return _put(base, parts, value, path)


def _put(node: Any, parts: list[str | tuple[int, ...]], value: Any, path: str) -> Any:
    if not parts:
        return value
    part, *rest = parts
    if isinstance(part, tuple) and dataclasses.is_dataclass(node):
        part, rest = _only_tuple(node, path), parts
    if isinstance(part, tuple):
        entries = list(node) if isinstance(node, tuple) else []
        for i in part:
            if not -len(entries) <= i < len(entries):
                raise ValueError(f"{path!r} leads nowhere: there is no [{i}] in {node!r}")
            entries[i] = _put(entries[i], rest, value, path)
        return tuple(entries)
    names = [f.name for f in dataclasses.fields(node)] if dataclasses.is_dataclass(node) else []
    if part not in names:
        there = f"it has {', '.join(names)}" if names else "it is not a spec; set it to a whole spec first"
        raise ValueError(f"{path!r} leads nowhere: there is no {part} in {node!r}; {there}")
    return dataclasses.replace(cast(Any, node), **{part: _put(getattr(node, part), rest, value, path)})


def _only_tuple(node: Any, path: str) -> str:
    """The one field of a spec that holds a tuple: `layers` of a Serial, `transformations` of a Chain."""
    fields = [f.name for f in dataclasses.fields(node) if not f.metadata.get("static")]
    tuples = [name for name in fields if isinstance(getattr(node, name), tuple)]
    if len(tuples) != 1:
        raise ValueError(f"{path!r} leads nowhere: expected one field with a tuple to index in {node!r}, got {tuples}")
    return tuples[0]


class Stacked(NamedTuple):
    """Specs of one structure as one.

    spec   numbers in which they differ are arrays with a leading axis, (specs, ...); all others are as they were
    axes   the same spec with 0 where there is such an axis and None elsewhere: in_axes for `jax.vmap`
    """

    spec: Any
    axes: Any


def stack(specs: Sequence[Any]) -> Stacked:
    """Many specs as one with arrays in place of the numbers in which they differ, for `jax.vmap`.

        spec, axes = stack([Sgd(0.1), Sgd(0.2)])
        jax.vmap(f, in_axes=(axes, None))(spec, x)

    A number that all specs share gets no axis: it would run through the whole program for nothing.
    Raises ValueError unless the specs have one structure, and so one program.
    """
    groups = by_structure(specs)
    if len(groups) != 1:
        raise ValueError(
            f"stack: expected specs that differ in numbers alone, got {len(groups)} structures, such as "
            f"{' and '.join(repr(specs[rows[0]]) for rows, _ in groups[:2]) or 'none'}"
        )
    return groups[0][1]


def pick(stacked: Stacked, rows: Any) -> Stacked:
    """The specs of these rows: an array of row numbers or a mask."""
    spec = jax.tree.map(
        lambda axis, leaf: leaf if axis is None else leaf[rows],
        stacked.axes,
        stacked.spec,
        is_leaf=lambda axis: axis is None,
    )
    return stacked._replace(spec=spec)


def by_structure(specs: Sequence[Any]) -> list[tuple[np.ndarray, Stacked]]:
    """(row numbers, the specs of these rows as one) per structure, in the order in which each first appears."""
    groups: dict[Any, tuple[list[int], list[list]]] = {}
    for row, one in enumerate(specs):
        leaves, tree = jax.tree.flatten(one)
        rows, numbers = groups.setdefault((tree, tuple(map(np.shape, leaves))), ([], []))
        rows.append(row)
        numbers.append(leaves)
    return [(np.array(rows), _stacked(tree, numbers)) for (tree, _), (rows, numbers) in groups.items()]


def _stacked(tree: Any, numbers: list[list]) -> Stacked:
    """numbers: the leaves of every spec."""
    columns = [np.array(column) for column in zip(*numbers, strict=True)]
    differs = [not np.array_equal(c, np.broadcast_to(c[:1], c.shape)) for c in columns]
    leaves = [
        column if differ else column[0] if column.ndim > 1 else column[0].item()
        for column, differ in zip(columns, differs, strict=True)
    ]
    return Stacked(tree.unflatten(leaves), tree.unflatten([0 if differ else None for differ in differs]))
