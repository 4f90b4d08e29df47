"""The state of a run between two steps, and its metrics."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, PRNGKeyArray

from fnnet._jit import jit
from fnnet._values import at_least_float32, check_key
from fnnet._xla.threefry import quick
from fnnet.model import Model, init
from fnnet.protocols import Batch, Optimizer, check_batch, check_names, is_spec_of, is_statistics


class TrainState(NamedTuple):
    """What the next step needs, and nothing else.

    params     of the network
    opt_state  of the optimizer
    step       () int32, the number of updates so far
    key        of the run's noise: step t draws from fold_in(key, t)
    """

    params: Any
    opt_state: Any
    step: Any
    key: Any


class Metrics(NamedTuple):
    """What was measured over some rows, each () or one entry per epoch, in float32 or better.

    loss      weighted mean loss plus penalty
    accuracy  weighted fraction of rows that the loss calls correct (of several labels: all of them right), or of
              targets where the loss counts these; None for losses without `correct`
    weight    sum of the rows' weights (their number, without weights), each times its number of targets where the loss
              counts these: needed to average further
    """

    loss: Any
    accuracy: Any
    weight: Any


class History(NamedTuple):
    """Metrics of every epoch, (epochs,), and what `fit` remembers between epochs.

    training     while training: means over the epoch's batches, each before its update
    validation   on validation data after each epoch; None without
    measured     on training rows after each epoch; None unless `fit` was asked for it
    stopping, plateau   the memories of EarlyStopping and ReduceOnPlateau, from which `fit(..., history=)` goes on
    last         TrainState after the last epoch, where early stopping gives an earlier one back; else None
    """

    training: Metrics
    validation: Metrics | Any  # None without; Any, so that those who asked for it need no check
    measured: Metrics | Any = None
    stopping: Any = None
    plateau: Any = None
    last: TrainState | None = None

    def __repr__(self) -> str:
        """`History(20 epochs; the last: loss 0.0512, accuracy 98.41 %, validation loss 0.0731)`: no arrays."""
        shape = np.shape(self.training.loss)
        if len(shape) != 1 or shape == (0,) or isinstance(self.training.loss, Tracer):
            return f"History(losses of shape {shape})"
        parts = [("", self.training), ("validation ", self.validation), ("measured ", self.measured)]
        words = ", ".join(in_words(name, metrics) for name, metrics in parts if metrics is not None)
        return f"History({shape[0]} epochs; the last: {words})"


def in_words(name: str, metrics: Metrics) -> str:
    """The last epoch: `validation loss 0.0512, validation accuracy 98.41 %`."""
    loss = f"{name}loss {metrics.loss[-1]:.4f}"
    return loss if metrics.accuracy is None else f"{loss}, {name}accuracy {100 * metrics.accuracy[-1]:.2f} %"


def init_state(model: Model, optimizer: Optimizer, key: PRNGKeyArray, dtype: Any = jnp.float32) -> TrainState:
    """A fresh TrainState: parameters drawn from one half of key, the other half kept for noise.

    Raises TypeError where model or optimizer is not one; ValueError where a penalty, weight decay or max-norm
    finds no parameter to act on (see `parameter_name`).
    """
    check_kinds("init_state", model, optimizer)
    check_key("init_state", key)
    return _init_state(model, optimizer, key, dtype)


@jit("dtype")
def _init_state(model: Model, optimizer: Optimizer, key: PRNGKeyArray, dtype: Any) -> TrainState:
    params_key, noise_key = jax.random.split(quick(key))
    noise_key = jax.random.wrap_key_data(jax.random.key_data(noise_key), impl=jax.random.key_impl(key))
    params = init(model, params_key, dtype)
    check_names("init_state", (model.penalty, optimizer), params)
    return TrainState(params, optimizer.init(trainable(params)), jnp.zeros((), jnp.int32), noise_key)


def trainable(tree: Any) -> Any:
    """What an optimizer sees: floating leaves, in float32 or better; None for integers and running statistics.

    In bfloat16, beta2 = 0.999 would be 1 and small updates would not add up.
    """

    def wide(a: Any) -> Any:
        if is_statistics(a):
            return jax.tree.map(lambda _: None, a)
        return a.astype(at_least_float32(a.dtype)) if jnp.issubdtype(a.dtype, jnp.floating) else None

    return jax.tree.map(wide, tree, is_leaf=is_statistics)


def check_kinds(caller: str, model: Model, optimizer: Optimizer) -> None:
    """Raise TypeError unless these are a Model and an optimizer, built with their settings."""
    if not isinstance(model, Model):
        raise TypeError(f"{caller}: expected model to be a Model such as fnnet.mlp((2, 4, 1)), got {model!r:.200}")
    if not is_spec_of(optimizer, Optimizer):
        raise TypeError(
            f"{caller}: expected optimizer to be a spec with init and update such as fnnet.Adam(1e-3), got "
            f"{optimizer!r:.200}; wrap one of another library in a class with these two methods under @fnnet.spec"
        )


def check_state(caller: str, state: TrainState) -> None:
    """Raise TypeError unless this is a TrainState."""
    if not isinstance(state, TrainState):
        raise TypeError(
            f"{caller}: expected state to be a TrainState, got {type(state).__name__}; start with "
            f"fnnet.init_state(model, optimizer, key)"
        )


def check_arrays(caller: str, state: TrainState, data: Batch) -> None:
    """Raise TypeError unless these are a TrainState and a Batch of arrays, traced or not."""
    check_state(caller, state)
    check_batch(caller, data)
    for name, part in data._asdict().items():
        if getattr(part, "shape", ()) == () and not (name == "weights" and part is None):
            got = "a number" if hasattr(part, "shape") else type(part).__name__
            raise TypeError(f"{caller}: expected data.{name} to be an array of rows, got {got}; np.asarray makes one")


def check_epochs(caller: str, epochs: int | np.integer) -> None:
    """Raise ValueError unless epochs is an int of 1 or more."""
    if not isinstance(epochs, int | np.integer) or isinstance(epochs, bool) or epochs < 1:
        raise ValueError(f"{caller}: expected epochs to be an int of 1 or more, got {epochs!r}")


def all_finite(tree: Any) -> Bool[Array, ""]:
    """Whether every floating number in the tree is finite, ()."""
    finite = [jnp.isfinite(a).all() for a in floating_leaves(tree).values()]
    return jnp.stack(finite).all() if finite else jnp.bool_(True)


def floating_leaves(tree: Any) -> dict[str, Any]:
    """Path of a leaf, as Python writes it, -> the leaf; those that are floating."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(k): a for k, a in leaves if jnp.issubdtype(jnp.result_type(a), jnp.floating)}
