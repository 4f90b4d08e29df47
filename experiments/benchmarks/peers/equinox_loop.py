"""Equinox as its MNIST example writes it: a Module, filter_jit and filter_value_and_grad, optax, a Python loop."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks.peers.jax_loop import adam
from experiments.benchmarks.task import Task, Trainer, pixels, shuffled_batches


class Network(eqx.Module):
    """Linear layers with an activation between them."""

    layers: list
    activation: callable = eqx.field(static=True)

    def __init__(self, task: Task, activation):
        keys = jax.random.split(jax.random.key(0), len(task.weights))
        linear = [eqx.nn.Linear(*w.shape, key=key) for (w, _), key in zip(task.weights, keys, strict=True)]
        given = [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in task.weights]
        self.layers = [
            eqx.tree_at(lambda lin: (lin.weight, lin.bias), one, wb) for one, wb in zip(linear, given, strict=True)
        ]
        self.activation = activation

    def __call__(self, x):
        """(I,) -> (O,), one row."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


def stepper(optimizer, loss_fn):
    """The example's make_step."""

    @eqx.filter_jit
    def make_step(model, opt_state, x, y):
        loss, grads = eqx.filter_value_and_grad(loss_fn)(model, x, y)
        updates, opt_state = optimizer.update(grads, opt_state, eqx.filter(model, eqx.is_array))
        return eqx.apply_updates(model, updates), opt_state, loss

    return make_step


def mnist(task: Task) -> Trainer:
    x, y = pixels(task.x), task.y
    model, optimizer = Network(task, jax.nn.relu), adam(task)
    opt_state, rng = optimizer.init(eqx.filter(model, eqx.is_array)), np.random.default_rng(task.seed)

    def loss_fn(model, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(model)(x), y).mean()

    make_step = stepper(optimizer, loss_fn)
    predict = eqx.filter_jit(lambda model, x: jax.vmap(model)(x.astype(jnp.float32) / 255).argmax(-1))

    def train(epochs: int) -> None:
        nonlocal model, opt_state
        for rows in shuffled_batches(task, epochs, rng):
            model, opt_state, loss = make_step(model, opt_state, x[rows], y[rows])
        jax.block_until_ready(loss)

    return Trainer(train, lambda x: np.asarray(predict(model, x)))


def xor(task: Task) -> Trainer:
    model, optimizer = Network(task, jax.nn.sigmoid), optax.sgd(task.learning_rate)
    opt_state = optimizer.init(eqx.filter(model, eqx.is_array))
    make_step = stepper(optimizer, lambda m, x, y: optax.sigmoid_binary_cross_entropy(jax.vmap(m)(x), y).mean())

    def train(epochs: int) -> None:
        nonlocal model, opt_state
        for _ in range(epochs):
            model, opt_state, loss = make_step(model, opt_state, task.x, task.y)
        jax.block_until_ready(loss)

    return Trainer(train, lambda x: np.asarray(jax.nn.sigmoid(jax.vmap(model)(x))))
