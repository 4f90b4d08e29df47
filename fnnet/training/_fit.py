"""`fit`: the shell around an epoch, for people who want to watch. The mathematics is all in `steps` and `epochs`.

state, history = fit(model, optimizer, state, data, epochs=20, batch_size=128, shuffle=key, validation=0.1,
                     early_stopping=EarlyStopping(patience=3))
state, history = fit(model, optimizer, state, data, ..., history=history)      # goes on, bit for bit
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import AxisType, Mesh
from jaxtyping import Num, PRNGKeyArray

from fnnet._spec import Number, parameter_dtype
from fnnet._values import at_least_float32, check_key
from fnnet.model import Model
from fnnet.protocols import Batch, Optimizer
from fnnet.training.checks import checked_batch
from fnnet.training.nonfinite import Culprit, find_culprit
from fnnet.training.progress import epochs_bar
from fnnet.training.rows import check_any_counts, split_off, with_class_weights
from fnnet.training.sources import Source, replicated, source_of
from fnnet.training.state import (
    History,
    Metrics,
    TrainState,
    all_finite,
    check_epochs,
    check_kinds,
    check_state,
    in_words,
    trainable,
)
from fnnet.training.stopping import EarlyStopping, ReduceOnPlateau, check_memory, check_monitor, scaled


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with the results of the last whole epoch: `fit(..., state, ..., history=history)` goes on from there.

    state, history   what `fit` would have returned
    """

    def __init__(self, message: str, state: TrainState, history: History):
        super().__init__(message)
        self.state, self.history = state, history


class NonFiniteError(ArithmeticError):
    """The loss or a parameter became NaN or infinite, or no validation loss was ever finite.

    epoch    in which epoch, from 1
    state    the TrainState that the epoch began with
    history  of the epochs before it; None if it was the first
    culprit  `fnnet.training.Culprit`: step, name, place and value of the first tensor that is not finite; None if the
             epoch, replayed step by step, stayed finite
    """

    def __init__(self, message: str, epoch: int, state: TrainState, history: History | None, culprit: Culprit | None):
        super().__init__(message)
        self.epoch, self.state, self.history, self.culprit = epoch, state, history, culprit


def fit(
    model: Model,
    optimizer: Optimizer,
    state: TrainState,
    data: Batch,
    *,
    epochs: int,
    batch_size: int,
    shuffle: PRNGKeyArray | None,
    validation: Batch | float | None = None,
    early_stopping: EarlyStopping | None = None,
    plateau: ReduceOnPlateau | None = None,
    class_weights: Num[Any, "C"] | tuple[Number, ...] | None = None,
    measure_training: int | None = None,
    history: History | None = None,
    mesh: Mesh | None = None,
    progress: bool = True,
    on_epoch: Callable[[TrainState, History], None] | None = None,
) -> tuple[TrainState, History]:
    """Train epoch by epoch and report on the way; the states are those of `train`, to the bit.

    (Networks with convolutions are compiled with another option on a CPU, and give the same up to rounding.)

    data        a Batch; lists, DataFrames and Series in it are converted, values checked (see `training.checks`)
    validation  data that is measured after every epoch; or a fraction of `data` to hold out for that: rows drawn with
                a key made from `shuffle`, stratified by class (integers, or (N, 1) of 0 and 1)
    early_stopping, plateau   rules applied to the validation metrics after every epoch
    class_weights     (C,) what a row of each class counts in training, times its own weight; for integer classes,
                      or (N, 1) of 0 and 1
    measure_training  this many rows of the training data are also measured after every epoch, at fixed parameters and
                without class weights (`history.measured`): the training loss is of earlier parameters, with dropout
    history     of an earlier fit, to go on from: 5 epochs and 5 more are 10, bit for bit. Returned with the new epochs
    mesh        devices that every batch is split across: `fnnet.data_mesh()` has all of them, on all hosts. Each has a
                copy of the parameters; rows are read as they are needed; a batch that does not divide evenly gets
                padding rows of weight 0. Equal to one device up to rounding (with dropout, or statistics of a
                batch, where batches divide)
    progress    a bar with the loss and accuracy of each epoch; needs the extra `experiments`
    on_epoch    called after every epoch with the state and the History so far

    Returns the state and the History of all epochs as NumPy arrays. With early stopping it is the best epoch's state;
    to go on, pass that or `history.last`.

    Data is moved to the device once. Where `data.x` is a np.memmap, rows are read as they are needed instead, so that
    the data may be larger than memory; the bits are the same.

    Raises ImportError if a bar is asked for and tqdm is missing; ValueError for settings that do not fit together, for
    targets that the loss cannot use and for invalid weights; TypeError for parameters in place of a state, or data
    that is not a Batch; NonFiniteError, which carries the state before the epoch, if the loss or a parameter is not
    finite; Interrupted (a KeyboardInterrupt) on Ctrl-C, which carries the results of the last whole epoch.
    """
    _check_outside_of_jit(state, data, validation, shuffle)
    _check_state(model, optimizer, state, history)
    if shuffle is not None:
        check_key("fit", shuffle, "shuffle")
    _check_settings(model, epochs, validation, early_stopping, plateau, measure_training, mesh)
    data = checked_batch("fit", model, state.params, data)
    if validation is not None and not isinstance(validation, int | float):
        validation = checked_batch("fit", model, state.params, validation, "validation")
    rows, held_out = split_off(data, validation, shuffle)
    weighted = rows if class_weights is None else with_class_weights(rows, class_weights)
    first = None if measure_training is None else rows.first(measure_training)
    check_any_counts("fit", {"data to train on": weighted, "validation data": held_out, "data to measure": first})
    watched, measured = (None if part is None else source_of(part) for part in (held_out, first))
    job = _Job(
        model, optimizer, batch_size, shuffle, early_stopping, plateau, source_of(weighted, mesh), watched, measured
    )
    run = start = _start(job, state, history, at_least_float32(parameter_dtype(state.params, data.x)), mesh)
    with epochs_bar("fit", epochs, progress) as bar:
        try:
            for _ in range(epochs):
                if early_stopping is not None and early_stopping.is_over(run.history.stopping):
                    break
                run = _epoch(job, run)
                bar.set_postfix_str(describe(run.history), refresh=False)
                bar.update()
                if on_epoch is not None:
                    on_epoch(*run)
        except KeyboardInterrupt as interrupt:
            done = len(run.history.training.loss) - len(start.history.training.loss)
            message = f"fit: Ctrl-C after {done} of {epochs} epochs; `state` and `history` are those after it"
            raise Interrupted(message, _result(run), run.history) from interrupt
    if early_stopping is not None and run.history.stopping.epoch == 0:
        raise _never_finite(run)
    return _result(run), run.history


def _result(run: "_Run") -> TrainState:
    return run.state if run.history.stopping is None else run.history.stopping.best


class _Job(NamedTuple):
    """What stays the same from epoch to epoch."""

    model: Model
    optimizer: Optimizer
    batch_size: int
    shuffle: PRNGKeyArray | None
    early_stopping: EarlyStopping | None
    plateau: ReduceOnPlateau | None
    training: Source
    validation: Source | None
    measured: Source | None


class _Run(NamedTuple):
    """What an epoch turns into the next: the state after the last one, and the History of all."""

    state: TrainState
    history: History


def _start(job: _Job, state: TrainState, history: History | None, dtype: Any, mesh: Mesh | None) -> _Run:
    """Before the first epoch, or where an earlier fit ended. dtype is that of the metrics."""
    if history is None:
        history = _no_epochs(job, dtype)
    for name, wanted in (("validation", job.validation), ("measured", job.measured)):
        if (getattr(history, name) is None) != (wanted is None):
            raise ValueError(f"fit: the history has {'no ' * (wanted is not None)}{name} metrics; keep the settings")
    stopping = plateau = None
    if job.early_stopping is not None and (stopping := history.stopping) is None:
        stopping = job.early_stopping.start(state, dtype)
    elif stopping is not None:
        stopping, last = jax.tree.map(jnp.asarray, (stopping, history.last))
        if not any(_same(state, known) for known in (last, stopping.best)):
            raise ValueError("fit: expected the state that this history came with (its last or its best), got another")
        state = last
    if job.plateau is not None:
        plateau = job.plateau.start() if history.plateau is None else history.plateau
    for rule, memory in ((job.early_stopping, stopping), (job.plateau, plateau)):
        if rule is not None and memory is not None:
            check_memory("fit", rule, memory, history.validation)
    if mesh is not None:
        state = replicated(state, mesh)
    last = None if stopping is None else state
    return _Run(state, history._replace(stopping=stopping, plateau=plateau, last=last))


def _no_epochs(job: _Job, dtype: Any) -> History:
    none = np.empty(0, np.dtype(dtype))
    metrics = Metrics(none, none if hasattr(job.model.loss, "correct") else None, none)
    return History(metrics, None if job.validation is None else metrics, None if job.measured is None else metrics)


def _same(a: TrainState, b: TrainState) -> bool:
    """Whether two states are the same to the last bit."""
    plain = [s._replace(key=jax.random.key_data(s.key)) for s in (a, b)]
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        np.array_equal(x, y, equal_nan=True) for x, y in zip(*map(jax.tree.leaves, plain), strict=True)
    )


def _epoch(job: _Job, run: _Run) -> _Run:
    """One epoch of training, then the measurements, then the rules.

    Raises NonFiniteError if the loss or a parameter is not finite.
    """
    optimizer = job.optimizer if job.plateau is None else scaled(job.optimizer, run.history.plateau.scale)
    state, training = job.training.epoch(job.model, optimizer, run.state, job.batch_size, job.shuffle)
    if not all_finite((training.loss, state.params)):
        raise _non_finite(job, optimizer, run, training)
    validation, measured = (
        None if source is None else source.measure(job.model, state) for source in (job.validation, job.measured)
    )
    history = _appended(run.history, training, validation, measured)
    if job.early_stopping is not None and validation is not None:
        stopping = job.early_stopping.after(history.stopping, state, validation, len(history.training.loss))
        history = history._replace(stopping=stopping, last=state)
    if job.plateau is not None and validation is not None:
        history = history._replace(plateau=job.plateau.after(history.plateau, validation))
    return _Run(state, history)


def _appended(history: History, *measured: Metrics | None) -> History:
    """The history with an epoch's training, validation and measured metrics at its end."""
    names = ("training", "validation", "measured")
    curves = jax.tree.map(lambda old, new: np.append(old, np.asarray(new)), tuple(history[:3]), measured)
    return history._replace(**dict(zip(names, curves, strict=True)))


def _non_finite(job: _Job, optimizer: Optimizer, before: _Run, training: Metrics) -> NonFiniteError:
    epoch = 1 + len(before.history.training.loss)
    if all(a.is_fully_addressable for a in jax.tree.leaves(before.state.params)):
        culprit = find_culprit(job.model, optimizer, before.state, job.training, job.batch_size, job.shuffle)
        found = "replaying the epoch step by step did not show where" if culprit is None else culprit
    else:
        culprit, found = None, "which tensor was first is found on one host only"
    return NonFiniteError(
        f"fit: the loss or a parameter is not finite after epoch {epoch} (loss {training.loss}); {found}. Try a "
        f"smaller learning rate, and look for NaN in the data. This error's `state` is the one before that epoch",
        epoch,
        before.state,
        before.history if epoch > 1 else None,
        culprit,
    )


def _never_finite(run: _Run) -> NonFiniteError:
    losses = run.history.validation.loss
    return NonFiniteError(
        f"fit: the validation loss was never a finite number in {len(losses)} epochs (the last is {losses[-1]}), so "
        f"that no epoch is the best; look for NaN or huge numbers in the validation data",
        len(losses),
        run.state,
        run.history,
        None,
    )


def _check_outside_of_jit(*given: Any) -> None:
    """Raise TypeError under jit or vmap, where values are tracers; under jit, so are arrays that are made there."""
    leaves = jax.tree.leaves((given, jnp.zeros(())), is_leaf=lambda node: isinstance(node, list))
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        raise TypeError(
            "fit: expected numbers, got tracers: fit reads its results, so it is not for jit or vmap; "
            "fnnet.train, which gives the same states, is"
        )


def _check_state(model: Model, optimizer: Optimizer, state: TrainState, history: History | None) -> None:
    check_kinds("fit", model, optimizer)
    if history is not None and not isinstance(history, History):
        raise TypeError(f"fit: expected history to be that of an earlier fit, got {history!r:.80}")
    check_state("fit", state)
    fresh = jax.eval_shape(optimizer.init, trainable(state.params))
    if jax.tree.map(jnp.shape, fresh) != jax.tree.map(jnp.shape, state.opt_state):
        raise ValueError(
            f"fit: expected the state of {optimizer!r} in state.opt_state, got that of another optimizer; start with "
            f"fnnet.init_state(model, optimizer, key), or keep its params: state._replace(params=...)"
        )


def _check_settings(
    model: Model,
    epochs: int,
    validation: Any,
    early_stopping: EarlyStopping | None,
    plateau: ReduceOnPlateau | None,
    measure_training: int | None,
    mesh: Mesh | None,
) -> None:
    check_epochs("fit", epochs)
    for rule, kind in ((early_stopping, EarlyStopping), (plateau, ReduceOnPlateau)):
        if rule is not None and not isinstance(rule, kind):
            raise TypeError(f"fit: expected a rule such as {kind.__name__}(), got {rule!r}")
        if rule is not None and validation is None:
            raise ValueError(
                f"fit: {type(rule).__name__} looks at validation data; pass validation, a Batch or a fraction"
            )
        if rule is not None:
            check_monitor("fit", rule, model.loss)
    if measure_training is not None and (type(measure_training) is not int or measure_training < 1):
        raise ValueError(f"fit: expected measure_training to be a number of rows, 1 or more, got {measure_training!r}")
    if mesh is not None and not isinstance(mesh, Mesh):
        raise TypeError(f"fit: expected a mesh such as fnnet.data_mesh(), got {mesh!r}")
    if mesh is not None and (mesh.devices.ndim != 1 or mesh.axis_types != (AxisType.Auto,)):
        raise ValueError(f"fit: expected a mesh of one automatic axis, such as fnnet.data_mesh(), got {mesh}")


def describe(history: History) -> str:
    """The last epoch in words: `loss 0.0512, accuracy 98.41 %, validation loss ...`."""
    words = [in_words("", history.training)]
    if history.validation is not None:
        words.append(in_words("validation ", history.validation))
    return ", ".join(words)
