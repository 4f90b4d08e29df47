"""The points of a sweep: paths into nested specs, grids of values, random draws, and many specs as one.

    base = Configuration(model, fnnet.Adam(1e-3), batch_size=128)
    points = grid(base, {"optimizer.learning_rate": (1e-3, 3e-3), "model.network[2]": (fnnet.Relu(), fnnet.Tanh())})
    points += sample(base, {"optimizer.learning_rate": Between(1e-4, 1e-1, log=True)}, count=100, seed=0)

A path is written as Python would read it, `"optimizer.learning_rate"`; an index goes into a spec's one tuple, so that
`"model.network[2].rate"` is the rate of the third layer of a `Serial`, and `"optimizer[0].learning_rate"` that of the
first link of a `Chain`; `"model.network[1, 3]"` are two layers that get the same. What a path leads to may be a number,
a static field or a whole spec. Points are a tuple: slice it, filter it, add to it.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from fnnet._spec import spec, static
from fnnet.model import Model
from fnnet.protocols import Optimizer, is_spec_of

_PART = re.compile(r"\.?([^\W\d]\w*)|\[(-?\d+(?:, ?-?\d+)*)\]")


@spec
class Configuration:
    """What one run of a sweep is made of.

    model, optimizer   as in `fnnet.train`
    batch_size         rows of one step; static, as in `fnnet.train`
    """

    model: Any
    optimizer: Any
    batch_size: int = static()

    def check(self) -> None:
        """A Model, an optimizer and a whole number of rows."""
        if not isinstance(self.model, Model):
            raise TypeError(f"Configuration: expected model to be a Model such as mlp((2, 4, 1)), got {self.model!r}")
        if not is_spec_of(self.optimizer, Optimizer):
            raise TypeError(f"Configuration: expected an optimizer such as Adam(1e-3), got {self.optimizer!r}")
        if type(self.batch_size) is not int or self.batch_size < 1:
            raise ValueError(f"Configuration: expected batch_size to be an int above 0, got {self.batch_size!r}")


class Point(NamedTuple):
    """One configuration, and what the table says about it.

    settings       name -> value (a number, a word or None) of what was varied
    configuration  the spec
    """

    settings: dict[str, Any]
    configuration: Any


class Between(NamedTuple):
    """Numbers drawn uniformly from low to high; with `log`, their logarithms are."""

    low: float | int
    high: float | int
    log: bool = False


def grid(base: Any, values: Mapping[str, Iterable[Any]]) -> tuple[Point, ...]:
    """Every combination of the values at their paths, the last path changing fastest.

    base    any spec; for `sweep` a Configuration
    values  path -> values; a dict {label: value} names them, else numbers and words name themselves and a spec is
            called what it prints. Paths are followed in this order, so a later one may lead into a value of an earlier.

    Raises ValueError for a path that leads nowhere and for no values, and what the specs raise for a bad value.
    """
    named = {path: _named(v, f"grid: {path}") for path, v in values.items()}
    return tuple(_point(base, dict(zip(named, combination, strict=True)))
                 for combination in itertools.product(*named.values()))  # fmt: skip


def sample(base: Any, values: Mapping[str, Between | Iterable[Any]], *, count: int, seed: int) -> tuple[Point, ...]:
    """`count` points; at each path a number from its `Between`, or one of its values, each as likely.

    Paths draw from streams of their own, spawned from seed in their order, so a longer draw begins as a shorter one.
    Raises ValueError as `grid` does, and for bounds that are not low < high (0 < low where `log`).
    """
    if count < 1:
        raise ValueError(f"sample: expected a count of 1 or more, got {count}")
    streams = np.random.default_rng(seed).spawn(len(values))
    drawn = [_drawn(v, count, stream, f"sample: {path}")
             for (path, v), stream in zip(values.items(), streams, strict=True)]  # fmt: skip
    return tuple(_point(base, dict(zip(values, row, strict=True))) for row in zip(*drawn, strict=True))


def _drawn(values: Any, count: int, stream: np.random.Generator, where: str) -> list[tuple[Any, Any]]:
    if not isinstance(values, Between):
        named = _named(values, where)
        return [named[i] for i in stream.integers(0, len(named), count)]
    low, high, log = values
    if not (0 if log else -np.inf) < low < high < np.inf:
        raise ValueError(f"{where}: expected {'0 < ' if log else ''}low < high, got {values}")
    numbers = np.exp(stream.uniform(np.log(low), np.log(high), count)) if log else stream.uniform(low, high, count)
    return [(number, number) for number in numbers.tolist()]


def _named(values: Any, where: str) -> list[tuple[Any, Any]]:
    """(label, value) pairs."""
    if isinstance(values, Mapping):
        pairs = list(values.items())
    elif isinstance(values, Iterable) and not isinstance(values, str):
        pairs = [(_label(value), value) for value in values]
    else:
        raise ValueError(f"{where}: expected values such as (1e-3, 1e-2) or {{'a label': value}}, got {values!r}")
    if not pairs:
        raise ValueError(f"{where}: expected one value at least, got none")
    return pairs


def _label(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic | np.ndarray | jax.Array) and value.ndim == 0 else value
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def _point(base: Any, chosen: dict[str, tuple[Any, Any]]) -> Point:
    for path, (_, value) in chosen.items():
        base = put(base, path, value)
    return Point({path: label for path, (label, _) in chosen.items()}, base)


def put(base: Any, path: str, value: Any) -> Any:
    """The spec with value at the path; every spec on the way is built anew, so its own check runs.

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
        there = f"it has {', '.join(names)}" if names else "it is no spec; give the whole spec as the value first"
        raise ValueError(f"{path!r} leads nowhere: there is no {part} in {node!r}; {there}")
    return dataclasses.replace(cast(Any, node), **{part: _put(getattr(node, part), rest, value, path)})


def _only_tuple(node: Any, path: str) -> str:
    """The one field of a spec that holds a tuple of leaves: `layers` of a Serial, `links` of a Chain."""
    fields = [f.name for f in dataclasses.fields(node) if not f.metadata.get("static")]
    tuples = [name for name in fields if isinstance(getattr(node, name), tuple)]
    if len(tuples) != 1:
        raise ValueError(f"{path!r} leads nowhere: expected one field with a tuple to index in {node!r}, got {tuples}")
    return tuples[0]


class Stacked(NamedTuple):
    """Specs of one structure as one.

    spec   the numbers in which they differ are arrays with an axis more, (specs, ...); the others as they are
    axes   the same spec with 0 where there is such an axis and None elsewhere: in_axes for `jax.vmap`
    """

    spec: Any
    axes: Any


def stack(specs: Sequence[Any]) -> Stacked:
    """Many specs as one with arrays in place of the numbers in which they differ, for `jax.vmap`.

        spec, axes = stack([Sgd(0.1), Sgd(0.2)])
        jax.vmap(f, in_axes=(axes, None))(spec, x)

    Only those get an axis: one for a number that all share would be carried through the whole program for nothing.
    Raises ValueError unless the specs have one structure: one program is what they are for.
    """
    groups = by_structure(specs)
    if len(groups) != 1:
        raise ValueError(
            f"stack: expected specs that differ in numbers alone, got {len(groups)} structures, such as "
            f"{' and '.join(repr(specs[group.rows[0]]) for group in groups[:2]) or 'none'}"
        )
    swept = [differ(column) for column in groups[0].columns]
    leaves = [column if differs else column[0] for column, differs in zip(groups[0].columns, swept, strict=True)]
    tree = groups[0].tree
    return Stacked(tree.unflatten(leaves), tree.unflatten([0 if differs else None for differs in swept]))


def pick(stacked: Stacked, rows: Any) -> Stacked:
    """The specs of these rows, as an array of numbers or a mask."""

    def chosen(axis: int | None, leaf: Any) -> Any:
        return leaf if axis is None else leaf[rows]

    return stacked._replace(spec=jax.tree.map(chosen, stacked.axes, stacked.spec, is_leaf=lambda a: a is None))


class Alike(NamedTuple):
    """Specs that share a program: their structure, their rows among all, every leaf's values (specs, ...)."""

    tree: Any
    rows: np.ndarray
    columns: list[np.ndarray]


def by_structure(specs: Sequence[Any]) -> list[Alike]:
    """The specs by structure, in the order in which each structure first appears."""
    groups: dict[Any, tuple[list[int], list[list]]] = {}
    for i, one in enumerate(specs):
        leaves, tree = jax.tree.flatten(one)
        shapes = tuple(leaf.shape for leaf in leaves if hasattr(leaf, "shape"))
        rows, numbers = groups.setdefault((tree, shapes), ([], []))
        rows.append(i)
        numbers.append(leaves)
    return [
        Alike(tree, np.array(rows), [np.array(column) for column in zip(*numbers, strict=True)])
        for (tree, _), (rows, numbers) in groups.items()
    ]


def differ(column: np.ndarray) -> bool:
    """Whether a leaf is not the same number in every spec."""
    return not np.array_equal(column, np.broadcast_to(column[:1], column.shape))
