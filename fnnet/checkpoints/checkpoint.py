"""`save` and `restore`: everything that a run needs to go on, and the same bits back."""

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnnet._spec import Number, parameter_dtype
from fnnet.checkpoints.documents import classes_in, decode, encode, known_classes
from fnnet.checkpoints.files import CheckpointError, pack, unpack, write
from fnnet.datasets import Columns, Vocabulary
from fnnet.model import Model
from fnnet.protocols import Batch, Optimizer, is_spec_of
from fnnet.training.state import History, Metrics, TrainState, init_state
from fnnet.training.stopping import PlateauMemory, StoppingMemory

_FORMAT = 1
_SHA256 = re.compile("[0-9a-f]{64}")
_PARTS = {"sha256", "format", "versions", "data_digest", "score"}
_PARTS |= {"model", "optimizer", "state", "history", "columns", "vocabulary"}


class Checkpoint(NamedTuple):
    """What a checkpoint holds.

    model, optimizer   the specs; their arrays (a sweep's) are read-only NumPy arrays
    state              the TrainState, on the default device
    history            of the epochs so far, as read-only NumPy arrays; None if it was saved without
    score              what `CheckpointManager` ranks by; None if it was saved without
    versions           of fnnet, jax, jaxlib, numpy, safetensors and Python that saved it, and JAX's platform
    data_digest        SHA-256 of the training data; None if it was saved without
    columns            how a table's rows become numbers; None if it was saved without
    vocabulary         how text becomes tokens; None if it was saved without
    """

    model: Model
    optimizer: Optimizer
    state: TrainState
    history: History | None
    score: float | None
    versions: dict[str, str]
    data_digest: str | None
    columns: Columns | None
    vocabulary: Vocabulary | None


def save(
    path: str | os.PathLike[str],
    model: Model,
    optimizer: Optimizer,
    state: TrainState,
    *,
    history: History | None = None,
    data: Batch | str | None = None,
    columns: Columns | None = None,
    vocabulary: Vocabulary | None = None,
    score: Number = None,
) -> Path:
    """Write a checkpoint, durably and atomically: at every moment the path holds the old file or the new one.

    history     of the epochs so far
    data        what the run trains on: its SHA-256 is stored, not the rows. Or the digest itself
                (`fnnet.data_digest`, once), where the data is large and the saves are many
    columns     from `fnnet.datasets.table`, so that whoever restores the model can encode new rows
    vocabulary  from `fnnet.datasets.characters` or `lines`, in the same way for text
    score       how good the state is, higher is better

    A diverged run is saved as it is: NaN in parameters comes back to the bit, for whoever wants to look into it.
    One safetensors file that safetensors and PyTorch open, the tensors named after their place
    (`state.params[0].w`). The same content gives the same bytes. Folders are made as needed. Returns the path.

    Raises CheckpointError if the disk is full or refuses, if another process is saving to the same path,
    if something cannot be stored, or if the state is not one of this model and optimizer. The earlier
    file is then as it was.
    """
    path = Path(path)
    with refusals(path, "not saved; an earlier checkpoint there is as it was"):
        write(path, contents(model, optimizer, state, history, data, columns, vocabulary, score))
    return path


def restore(
    path: str | os.PathLike[str],
    *,
    types: tuple[type, ...] = (),
    like: TrainState | None = None,
    data: Batch | str | None = None,
) -> Checkpoint:
    """Read a checkpoint and check all of it: training goes on with the same bits as if it had never stopped.

    types   your own specs in it (the classes), and NamedTuples in their static fields. Names that neither fnnet nor
            types has are refused; nothing is imported or unpickled
    like    a state of the same structure, shapes and dtypes, such as `init_state(model, optimizer, key)`
            of the model that you expect
    data    what the run trained on, or its digest: refused if it is not the same

    The same bits need the same jax, machine and number of threads; `versions` says what saved it.

    Raises CheckpointError, and no other exception, for a file that is missing, damaged in any bit, cut off,
    malformed, of a newer fnnet, or does not fit. Memory stays within a few times the file's size.
    TypeError and ValueError for types that are not classes and data that is not a Batch or digest.
    """
    path, known = Path(path), known_classes(types)
    digest = None if data is None else _digest(data)
    with refusals(path, "not restored", malformed=True):
        document, arrays = unpack(path)
        checkpoint = _checkpoint(document, arrays, known)
        if like is not None:
            _check_like(checkpoint.state, like, ())
        if digest is not None:
            _check_data(checkpoint.data_digest, digest)
    return checkpoint


def data_digest(data: Batch) -> str:
    """SHA-256 of a data set: names, dtypes, shapes and bytes of x, y and weights, in parts of a megabyte."""
    digest = hashlib.sha256()
    for name, value in zip(Batch._fields, data, strict=True):
        if value is None:
            continue
        a = np.atleast_1d(np.asarray(value))
        if a.dtype.hasobject:
            raise TypeError(f"data_digest: expected {name} to hold numbers, got {a.dtype}; convert it")
        digest.update(f"{name} {a.dtype.str} {a.dtype.name} {a.shape}\n".encode())
        rows = max(1, 2**20 // max(1, a[:1].nbytes))
        for start in range(0, len(a), rows):
            digest.update(a[start : start + rows].tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def refusals(path: Path, what: str, malformed: bool = False) -> Iterator[None]:
    """Errors inside as CheckpointErrors that name the file; with `malformed`, whatever they are."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error.__cause__
    except RecursionError as error:
        raise CheckpointError(
            f"{path}: the model is nested too deeply for a file; put its layers into one Serial; {what}"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}; {what}") from error
    except Exception as error:
        if not malformed:
            raise
        raise CheckpointError(f"{path}: malformed: {type(error).__name__}: {str(error)[:500]}; {what}") from error


def contents(
    model: Model,
    optimizer: Optimizer,
    state: TrainState,
    history: History | None,
    data: Batch | str | None,
    columns: Columns | None,
    vocabulary: Vocabulary | None,
    score: Number,
) -> bytearray:
    """The bytes of a checkpoint. Raises CheckpointError for what cannot be stored or does not belong together."""
    _check_state(model, optimizer, state)
    _check_history(history)
    if not isinstance(columns, Columns | None):
        raise CheckpointError(f"columns: expected Columns from fnnet.datasets.table, got {columns!r:.80}")
    if not isinstance(vocabulary, Vocabulary | None):
        raise CheckpointError(
            f"vocabulary: expected the Vocabulary from fnnet.datasets.characters or lines, got {vocabulary!r:.80}"
        )
    known, arrays = known_classes(), {}
    parts = {"model": model, "optimizer": optimizer, "state": state, "history": history}
    parts |= {"columns": columns, "vocabulary": vocabulary}
    document = {
        "format": _FORMAT,
        "versions": _versions(),
        "data_digest": None if data is None else _digest(data),
        "score": encode(None if score is None else float(score), "score", arrays, known),
        **{name: encode(part, name, arrays, known) for name, part in parts.items()},
    }
    return pack(document, arrays)


def restore_score(path: Path) -> float | None:
    """The score in a checkpoint that is whole; its other parts are not looked at."""
    with refusals(path, "delete it to go on", malformed=True):
        return decode(unpack(path)[0]["score"], {}, {}, _read_only)


def _checkpoint(document: dict[str, Any], arrays: dict[str, np.ndarray], known: dict[str, type]) -> Checkpoint:
    if document.get("format") != _FORMAT or isinstance(document["format"], bool):
        raise CheckpointError(f"expected format {_FORMAT}, got {document.get('format')!r:.80}; update fnnet to read it")
    if document.keys() != _PARTS:
        raise CheckpointError(f"malformed: expected {sorted(_PARTS)}, got {sorted(document)}")
    parts = ("model", "optimizer", "columns", "vocabulary", "score")
    specs = (decode(document[part], arrays, known, _read_only) for part in parts)
    model, optimizer, columns, vocabulary, score = specs
    if not isinstance(model, Model):
        raise CheckpointError(f"malformed: expected a Model, got {model!r:.80}")
    _check_optimizer(optimizer)
    known = {**known, **classes_in(_fresh_state(model, optimizer, np.shape(arrays["state.step"])))}
    state = decode(document["state"], arrays, known, _on_device)
    history = decode(document["history"], arrays, known, _read_only)
    digest, versions = document["data_digest"], document["versions"]
    kinds = (TrainState, float | None, Columns | None, Vocabulary | None, dict)
    for value, kind in zip((state, score, columns, vocabulary, versions), kinds, strict=True):
        if not isinstance(value, kind):
            raise CheckpointError(f"malformed: expected {kind}, got {value!r:.80}")
    if versions.keys() != _versions().keys() or not all(isinstance(version, str) for version in versions.values()):
        raise CheckpointError(f"malformed: expected versions as text, got {versions!r:.80}")
    if digest is not None and not _SHA256.fullmatch(digest):
        raise CheckpointError(f"malformed: expected data_digest to be a SHA-256, got {digest!r:.80}")
    if arrays:
        raise CheckpointError(f"malformed: tensors that nothing names: {list(arrays)}")
    _check_state(model, optimizer, state)
    _check_history(history)
    return Checkpoint(model, optimizer, state, history, score, versions, digest, columns, vocabulary)


def _read_only(name: str, a: np.ndarray) -> np.ndarray:
    a.setflags(write=False)
    return a


def _on_device(name: str, a: np.ndarray) -> jax.Array:
    """The array as JAX's own, strongly typed, so that nothing is compiled a second time."""
    array = jnp.asarray(a)
    if array.dtype != a.dtype:
        raise CheckpointError(
            f"{name}: {a.dtype} would become {array.dtype}; enable 64-bit types first: "
            f'jax.config.update("jax_enable_x64", True)'
        )
    return array


def _check_optimizer(optimizer: object) -> None:
    if not is_spec_of(optimizer, Optimizer):
        raise CheckpointError(f"optimizer: expected a spec with init and update, got {optimizer!r:.80}")


def _fresh_state(
    model: Model, optimizer: Optimizer, front: tuple[int, ...], dtype: Any = jnp.float32, key: Any = None
) -> TrainState:
    """The shapes that `init_state` gives; of a sweep, in which numbers have the axes `front` first, those of one run.

    key  its dtype, which says its algorithm; None: JAX's default
    """

    def single(leaf: Any) -> Any:
        shape = jnp.shape(leaf)
        swept = front and shape[: len(front)] == front
        return jax.ShapeDtypeStruct(shape[len(front) :], leaf.dtype) if swept else leaf

    model, optimizer = jax.tree.map(single, (model, optimizer))
    key = jax.eval_shape(lambda: jax.random.key(0)).dtype if key is None else key
    return jax.eval_shape(partial(init_state, dtype=dtype), model, optimizer, jax.ShapeDtypeStruct((), key))


def _check_state(model: Model, optimizer: Optimizer, state: TrainState) -> None:
    """Structure, shapes and dtypes are those of a fresh state; in a sweep all have the same leading axes."""
    _check_optimizer(optimizer)
    if not isinstance(state, TrainState):
        raise CheckpointError(f"state: expected a TrainState with its params inside, got {type(state).__name__}")
    for leaf in jax.tree.leaves((model, optimizer)):
        if not isinstance(leaf, float) and not jnp.issubdtype(getattr(leaf, "dtype", np.object_), jnp.number):
            raise CheckpointError(
                f"model, optimizer: expected the specs' numbers to be floats or arrays, got {leaf!r:.80}"
            )
    if not jnp.issubdtype(getattr(state.key, "dtype", np.object_), jax.dtypes.prng_key):
        raise CheckpointError(f"state.key: expected a typed key (jax.random.key), got {state.key!r:.80}")
    front, dtype = jnp.shape(state.step), jnp.dtype(parameter_dtype(state.params))
    _check_like(state, _fresh_state(model, optimizer, front, dtype, state.key.dtype), front)
    if (np.asarray(state.step) < 0).any():
        raise CheckpointError(f"state.step: expected a count of updates, 0 or more, got {state.step}")


def _check_like(state: TrainState, expected: Any, front: tuple[int, ...]) -> None:
    have, want = _leaves(state), _leaves(expected)
    if have.keys() != want.keys() or jax.tree.structure(state) != jax.tree.structure(expected):
        missing, unknown = [k for k in want if k not in have], [k for k in have if k not in want]
        differs = f"missing {missing}, not expected {unknown}" if missing or unknown else (
            f"expected {jax.tree.structure(expected)!s:.1000}, got {jax.tree.structure(state)!s:.1000}"
        )  # fmt: skip
        raise CheckpointError(f"the state has another structure than that of this model and optimizer: {differs}")
    for name, leaf in have.items():
        wanted = _kind(want[name].dtype, (*front, *want[name].shape))
        found = _kind(getattr(leaf, "dtype", type(leaf).__name__), jnp.shape(leaf))
        if found != wanted:
            raise CheckpointError(f"{name}: expected {wanted}, got {found}")


def _leaves(state: Any) -> dict[str, Any]:
    return {f"state{jax.tree_util.keystr(path)}": leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def _kind(dtype: Any, shape: tuple[int, ...]) -> str:
    return f"{dtype} {shape}"


def _check_history(history: Any) -> None:
    """History or None, in which every number is an array of entries."""
    if history is None:
        return
    kinds = (Metrics, Metrics | None, Metrics | None, StoppingMemory | None, PlateauMemory | None, TrainState | None)
    if not isinstance(history, History) or not all(map(isinstance, history, kinds)):
        raise CheckpointError(f"history: expected a History of Metrics, got {history!r:.80}")
    for leaf in jax.tree.leaves(history):
        if not isinstance(leaf, np.ndarray | np.generic | jax.Array):
            raise CheckpointError(f"history: expected arrays, got {leaf!r:.80}")


def _digest(data: Batch | str) -> str:
    digest = data_digest(data) if isinstance(data, Batch) else data
    if not _SHA256.fullmatch(digest):
        raise ValueError(f"data: expected a Batch or the SHA-256 from data_digest, got {digest!r:.80}")
    return digest


def _check_data(saved: str | None, given: str) -> None:
    if saved is None:
        raise CheckpointError("saved without data=, so there is nothing to compare the data with; leave data= out")
    if saved != given:
        raise CheckpointError(f"saved with other data: its SHA-256 was {saved}, that of the data given is {given}")


@functools.cache
def _versions() -> dict[str, str]:
    packages = {name: _version(name) for name in ("fnnet", "jax", "jaxlib", "numpy", "safetensors")}
    return {**packages, "python": platform.python_version(), "platform": jax.default_backend()}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a folder, not installed
        return "unknown"
