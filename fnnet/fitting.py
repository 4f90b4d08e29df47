"""`fit`: the shell around `train`, for people who want to watch. The mathematics is all in `training`."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from fnnet.batch import Batch
from fnnet.model import Model
from fnnet.training import History, Metrics, TrainState, train


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
    Raises ImportError if a bar is asked for and tqdm is missing, ValueError for epochs below 1.
    """
    if epochs < 1:
        raise ValueError(f"fit: expected epochs of 1 or more, got {epochs}")
    data, validation = jax.device_put((data, validation))
    parts = []
    with _bar(epochs, progress) as bar:
        for _ in range(epochs):
            state, part = train(
                model, optimizer, state, data,
                epochs=1, batch_size=batch_size, order=order, validation=validation,
            )  # fmt: skip
            parts.append(jax.tree.map(np.asarray, part))
            bar.set_postfix_str(describe(parts[-1]), refresh=False)
            bar.update()
            if on_epoch is not None:
                on_epoch(state, parts[-1])
    return state, jax.tree.map(lambda *epochs: np.concatenate(epochs), *parts)


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
