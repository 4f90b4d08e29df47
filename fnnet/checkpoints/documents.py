"""Trees as JSON and arrays: specs, NamedTuples, tuples, lists, dicts, numbers, strings, None, arrays and keys.

    None, true, 3, 0.1, "text"                       themselves; a float that is not finite {"float": its 8 bytes}
    [...]                                            a tuple; {"list": [...]} a list; {"dict": [[key, value], ...]}
    {"array": name}                                  an array: the tensor of that name
    {"key": name, "impl": "threefry2x32"}            a typed key (jax.random.key): its data and algorithm
    {"class": "Dense", "fields": {"features": 128}}  a spec (any dataclass) or a NamedTuple, by the class's name

A tensor's name is the path to it, `state.params[0].w`. A class is never imported by name: it is one that fnnet
exports, one that the caller gives, or one that the model and the optimizer make their state of.
"""

import dataclasses
import json
import math
import struct
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnnet import _spec, datasets, initializers, layers, losses, model, optimizers, penalties, schedules, training
from fnnet.checkpoints.files import DTYPES, CheckpointError
from fnnet.training.stopping import PlateauMemory, Scaled, StoppingMemory

_ROOMS = (datasets, initializers, layers, losses, model, optimizers, penalties, schedules, training)
_PRIVATE = (_spec.Static, Scaled, StoppingMemory, PlateauMemory)  # parts of specs and histories that are not exported
_STORED = {np.dtype(dtype) for dtype in DTYPES.values()}


def known_classes(types: tuple[type, ...] = ()) -> dict[str, type]:
    """Name -> class: the specs and NamedTuples of fnnet, and the caller's.

    Raises TypeError for a type that is neither, ValueError for a name that is taken.
    """
    public = [getattr(room, name) for room in _ROOMS for name in room.__all__]
    known = {c.__name__: c for c in (*public, *_PRIVATE) if isinstance(c, type) and field_names(c) is not None}
    if not isinstance(types, tuple | list):
        name = getattr(types, "__name__", "MyLayer")
        raise TypeError(f"types: expected a tuple of classes, got {types!r}; write types=({name},)")
    for cls in types:
        if not isinstance(cls, type) or field_names(cls) is None:
            raise TypeError(f"types: expected specs or NamedTuples (the classes, not instances), got {cls!r}")
        if known.setdefault(cls.__name__, cls) is not cls:
            raise ValueError(f"types: there are two classes called {cls.__name__}; rename yours")
    return known


def classes_in(tree: Any) -> dict[str, type]:
    """Name -> class of the NamedTuples in a tree: what the state of a model and an optimizer is made of."""
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if not isinstance(tree, tuple | list):
        return {}
    own = {type(tree).__name__: type(tree)} if hasattr(tree, "_fields") else {}
    return {name: cls for part in tree for name, cls in classes_in(part).items()} | own


def field_names(cls: type) -> tuple[str, ...] | None:
    """Of a dataclass (every spec is one) or a NamedTuple; None for any other class."""
    if dataclasses.is_dataclass(cls):
        return tuple(f.name for f in dataclasses.fields(cls))
    return getattr(cls, "_fields", None) if issubclass(cls, tuple) else None


def encode(value: Any, path: str, arrays: dict[str, np.ndarray], known: dict[str, type], static: bool = False) -> Any:
    """The JSON for value; its arrays go into `arrays`, in C order, each under its path.

    known   name -> class, fnnet's own at first; classes found in value are added, and no two may have the same name
    static  inside of a static field, where an array has no place

    Raises CheckpointError naming the path of what cannot be stored.
    """

    def inner(part: Any, suffix: str, static: bool = static) -> Any:
        return encode(part, path + suffix, arrays, known, static)

    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}
    if type(value) is tuple:
        return [inner(part, f"[{i}]") for i, part in enumerate(value)]
    if type(value) is list:
        return {"list": [inner(part, f"[{i}]") for i, part in enumerate(value)]}
    if type(value) is dict:
        return {"dict": [[inner(k, ".key"), inner(part, f"[{k!r}]")] for k, part in value.items()]}
    if isinstance(value, jax.Array | np.ndarray | np.generic) and not static:
        return _encode_array(value, path, arrays)
    if field_names(type(value)) is not None:
        names, fixed = field_names(type(value)) or (), _static(value)
        fields = {name: inner(getattr(value, name), f".{name}", static or name in fixed) for name in names}
        return {"class": _name(value, path, known), "fields": fields}
    raise CheckpointError(
        f"{path}: cannot store {value!r:.80} of type {type(value).__name__}{' in a static field' * static}; "
        f"use numbers, strings, tuples, arrays, specs and NamedTuples"
    )


def _static(value: Any) -> set[str]:
    fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
    return {f.name for f in fields if f.metadata.get("static")}


def _name(value: Any, path: str, known: dict[str, type]) -> str:
    """The class's name, which must lead back to the class; and a spec must pass its own check, as on restoring."""
    name = type(value).__name__
    if known.setdefault(name, type(value)) is not type(value):
        raise CheckpointError(f"{path}: {name} is also the name of {known[name].__module__}.{name}; rename yours")
    _check(value)
    return name


def _check(value: Any) -> None:
    if not isinstance(value, tuple) and hasattr(value, "check"):
        value.check()


def _encode_array(value: Any, path: str, arrays: dict[str, np.ndarray]) -> dict[str, str]:
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        arrays[path] = np.asarray(jax.random.key_data(value), order="C")
        return {"key": path, "impl": str(jax.random.key_impl(value))}
    if value.dtype.newbyteorder("=") not in _STORED:
        raise CheckpointError(f"{path}: safetensors has no dtype {value.dtype}; convert it")
    arrays[path] = np.asarray(value, value.dtype.newbyteorder("="), order="C")
    return {"array": path}


def decode(node: Any, arrays: dict[str, np.ndarray], known: dict[str, type], convert: Callable[[str, Any], Any]) -> Any:
    """What `encode` was given, its arrays taken out of `arrays` and through convert(name, array).

    Raises CheckpointError, or ValueError and its like for what is malformed.
    """

    def inner(part: Any) -> Any:
        return decode(part, arrays, known, convert)

    match node:
        case None | bool() | int() | str():
            return node
        case float() if math.isfinite(node):
            return node
        case list():
            return tuple(map(inner, node))
        case {"float": str(text), **rest} if not rest:
            return struct.unpack(">d", bytes.fromhex(text))[0]
        case {"list": list(parts), **rest} if not rest:
            return [*map(inner, parts)]
        case {"dict": list(pairs), **rest} if not rest:
            return {inner(key): inner(part) for key, part in pairs}
        case {"array": str(name), **rest} if not rest:
            return convert(name, _take(arrays, name))
        case {"key": str(name), "impl": str(impl), **rest} if not rest:
            return jax.random.wrap_key_data(jnp.asarray(_take(arrays, name)), impl=impl)
        case {"class": str(name), "fields": dict(fields), **rest} if not rest:
            return _build(_class(name, fields, known), {field: inner(part) for field, part in fields.items()})
    raise CheckpointError(f"malformed: {json.dumps(node)[:80]} has no meaning")


def _take(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise CheckpointError(f"malformed: no tensor {name}, or it is named twice")
    return arrays.pop(name)


def _class(name: str, fields: dict[str, Any], known: dict[str, type]) -> type:
    """The class called name, with exactly these fields."""
    if name not in known:
        raise CheckpointError(
            f"{name} is not a class of fnnet; if it is yours, pass it: restore(..., types=({name},)); "
            f"if it is of a newer fnnet, update"
        )
    expected = field_names(known[name]) or ()
    if {*expected} != {*fields}:
        raise CheckpointError(
            f"{name} has other fields than when it was saved: only in the file {sorted({*fields} - {*expected})}, "
            f"only in the class {sorted({*expected} - {*fields})}; restore with the code that saved it"
        )
    return known[name]


def _build(cls: Any, values: dict[str, Any]) -> Any:
    """An instance with exactly these values: not through __init__, which would turn arrays into floats."""
    if hasattr(cls, "_make"):
        return cls._make(values[name] for name in cls._fields)
    self = object.__new__(cls)
    for name, value in values.items():
        object.__setattr__(self, name, value)
    _check(self)
    return self
