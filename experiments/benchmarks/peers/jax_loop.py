"""jax.grad and optax in a Python loop: a jitted step, a batch of NumPy rows at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks.task import Task, Trainer, pixels, shuffled_batches


def logits(params, x):
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def start(task: Task):
    """Parameters as a list of dicts, on the device."""
    return jax.device_put([{"w": w, "b": b} for w, b in task.weights])


def adam(task: Task):
    steps = task.decay_steps
    return optax.adam(task.learning_rate if steps is None else optax.linear_schedule(task.learning_rate, 0.0, steps))


@jax.jit
def classes(params, x):
    return logits(params, x.astype(jnp.float32) / 255).argmax(-1)


def mnist(task: Task) -> Trainer:
    x, y = pixels(task.x), task.y
    params, optimizer = start(task), adam(task)
    opt_state, rng = optimizer.init(params), np.random.default_rng(task.seed)

    def loss_fn(params, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(logits(params, x), y).mean()

    @jax.jit
    def step(params, opt_state, x, y):
        loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    def train(epochs: int) -> None:
        nonlocal params, opt_state
        for rows in shuffled_batches(task, epochs, rng):
            params, opt_state, _ = step(params, opt_state, x[rows], y[rows])
        jax.block_until_ready(params)

    return Trainer(train, lambda x: np.asarray(classes(params, x)))


def xor_logits(params, x):
    h = jax.nn.sigmoid(x @ params[0]["w"] + params[0]["b"])
    return h @ params[1]["w"] + params[1]["b"]


def xor_predict(params, x):
    return np.asarray(jax.nn.sigmoid(xor_logits(params, x)))


def xor(task: Task) -> Trainer:
    optimizer = optax.sgd(task.learning_rate)
    params = start(task)
    opt_state = optimizer.init(params)

    def loss_fn(params):
        return optax.sigmoid_binary_cross_entropy(xor_logits(params, task.x), task.y).mean()

    @jax.jit
    def step(params, opt_state):
        loss, grads = jax.value_and_grad(loss_fn)(params)
        updates, opt_state = optimizer.update(grads, opt_state)
        return optax.apply_updates(params, updates), opt_state, loss

    def train(epochs: int) -> None:
        nonlocal params, opt_state
        for _ in range(epochs):
            params, opt_state, _ = step(params, opt_state)
        jax.block_until_ready(params)

    return Trainer(train, lambda x: xor_predict(params, x))
