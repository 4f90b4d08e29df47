"""`fit`: the shell around `train`, for people who want to watch. The mathematics is all in `training`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from fnnet.batch import Batch
from fnnet.losses import SoftmaxCrossEntropy
from fnnet.model import Model, forward
from fnnet.spec import at_step, parameter_dtype
from fnnet.training import History, Metrics, TrainState, train


class NonFiniteError(ArithmeticError):
    """The loss became NaN or infinite. `epoch` says in which epoch (from 1), `state` is the one before it."""

    def __init__(self, message: str, epoch: int, state: TrainState):
        super().__init__(message)
        self.epoch, self.state = epoch, state


def fit(
    model: Model,
    optimizer: Any,
    state: TrainState,
    data: Batch,
    *,
    epochs: int,
    batch_size: int,
    order: PRNGKeyArray | None,
    validation: Batch | None = None,
    progress: bool = True,
    on_epoch: Callable[[TrainState, History], None] | None = None,
) -> tuple[TrainState, History]:
    """Train epoch by epoch; the same bits as `train`, seen while they come.

    progress   a bar with the loss and accuracy of each epoch; needs the extra `experiments`
    on_epoch   called after every epoch with the state and a History of that one epoch

    Data is moved to the device once. Returns the state and the History of all epochs as NumPy arrays.
    Raises ImportError if a bar is asked for and tqdm is missing; ValueError for epochs below 1 and for classes that
    the network has no output for; NonFiniteError, which carries the last good state, if the loss is no number.
    """
    if not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"fit: expected epochs to be an int of 1 or more, got {epochs!r}")
    for name, rows in (("data", data), ("validation", validation)):
        if rows is not None:
            _check_classes(model, state, rows, name)
    data, validation = jax.device_put((data, validation))
    parts = []
    with _bar(epochs, progress) as bar:
        for epoch in range(1, epochs + 1):
            before = state
            state, part = train(
                model, optimizer, state, data,
                epochs=1, batch_size=batch_size, order=order, validation=validation,
            )  # fmt: skip
            parts.append(jax.tree.map(np.asarray, part))
            _check_finite(parts[-1], epoch, before)
            bar.set_postfix_str(describe(parts[-1]), refresh=False)
            bar.update()
            if on_epoch is not None:
                on_epoch(state, parts[-1])
    return state, jax.tree.map(lambda *epochs: np.concatenate(epochs), *parts)


def _check_classes(model: Model, state: TrainState, data: Batch, name: str) -> None:
    """Raise ValueError where a class has no output: inside the compiled program it could only become NaN."""
    y = np.asarray(data.y)
    if not isinstance(model.loss, SoftmaxCrossEntropy) or not np.issubdtype(y.dtype, np.integer) or y.size == 0:
        return
    at_zero = jnp.zeros((1, *model.input_shape), jnp.asarray(data.x[:1]).dtype)
    network = dataclasses.replace(model, loss=SoftmaxCrossEntropy(), penalty=None)
    dtype = parameter_dtype(state.params)
    count = jax.eval_shape(lambda: forward(at_step(network, 0, dtype), state.params, at_zero)).shape[-1]
    counted = y if data.weights is None else y[np.asarray(data.weights) != 0]
    if counted.size and not 0 <= counted.min() <= counted.max() < count:
        raise ValueError(
            f"fit: expected classes 0 to {count - 1} in {name}, for the network's {count} outputs, "
            f"got {counted.min()} to {counted.max()}"
        )


def _check_finite(history: History, epoch: int, before: TrainState) -> None:
    if not np.isfinite(history.training.loss[-1]):
        raise NonFiniteError(
            f"fit: the loss became {history.training.loss[-1]} in epoch {epoch}; try a smaller learning rate, and look "
            f"for NaN in the data. The state before that epoch is this error's `state`",
            epoch,
            before,
        )


def describe(history: History) -> str:
    """The last epoch in words: `loss 0.0512, accuracy 98.41 %, validation loss ...`."""
    words = [_words("", history.training)]
    if history.validation is not None:
        words.append(_words("validation ", history.validation))
    return ", ".join(words)


def _words(name: str, metrics: Metrics) -> str:
    loss = f"{name}loss {metrics.loss[-1]:.4f}"
    return loss if metrics.accuracy is None else f"{loss}, {name}accuracy {100 * metrics.accuracy[-1]:.2f} %"


def _bar(epochs: int, visible: bool) -> Any:
    if not visible:
        return _NoBar()
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError(
            "fit: the progress bar needs tqdm; pip install 'fnnet[experiments]', or pass progress=False"
        ) from error
    return tqdm(total=epochs, unit="epoch", dynamic_ncols=True)


class _NoBar:
    """The three calls that fit makes of a bar, unseen."""

    def __enter__(self) -> "_NoBar":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        pass

    def update(self) -> None:
        pass
