"""fnnet: the whole run is one compiled program."""

import jax
import numpy as np

import fnnet
from experiments.benchmarks.task import Task, Trainer


def mnist(task: Task) -> Trainer:
    sizes = (task.weights[0][0].shape[0], *(len(b) for _, b in task.weights))
    rate = task.learning_rate
    if task.decay_steps is not None:
        rate = fnnet.LinearSchedule(rate, 0.0, task.decay_steps)
    return _trainer(task, fnnet.mlp(sizes, scale=1 / 255), fnnet.Adam(rate), lambda p: p.argmax(-1))


def xor(task: Task) -> Trainer:
    model = fnnet.mlp((2, 4, 1), activation=fnnet.Sigmoid(), loss=fnnet.SigmoidBinaryCrossEntropy())
    return _trainer(task, model, fnnet.Sgd(task.learning_rate), lambda p: p, shuffle=False)


def _trainer(task, model, optimizer, answer, shuffle=True) -> Trainer:
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    given = iter(task.weights)
    params = tuple(p if p == () else fnnet.layers.DenseParams(*jax.device_put(next(given))) for p in state.params)
    state = state._replace(params=params)
    order = jax.random.key(task.seed) if shuffle else None
    data = jax.device_put(fnnet.Batch(task.x, task.y))
    predict_all = jax.jit(lambda params, x: answer(fnnet.predict(model, params, x)))

    def train(epochs: int) -> None:
        nonlocal state
        state, history = fnnet.train(
            model, optimizer, state, data, epochs=epochs, batch_size=task.batch_size, shuffle=order
        )
        jax.block_until_ready(history)

    return Trainer(train, lambda x: np.asarray(predict_all(state.params, x)))
