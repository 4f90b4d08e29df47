"""A user's script, as pyright has to accept it: each call is typical, each annotation is what an editor should show.

Type checked by `tests/typing/test_typing.py`; never run.
"""

from collections.abc import Callable
from typing import NamedTuple, assert_type

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import fnnet
from fnnet.sweeps import Configuration, Point, Results, grid, sweep
from fnnet.training import History, Metrics, TrainState

x = np.linspace(-1, 1, 100).reshape(50, 2)
y = np.sin(x.sum(1, keepdims=True))
key = jax.random.key(0)

# your own data, trained, measured, predicted
data = fnnet.Batch(x, y)
model = fnnet.mlp((2, 32, 1), activation=fnnet.Tanh(), loss=fnnet.SquaredError(), penalty=fnnet.L2(1e-4))
optimizer = fnnet.Adam(fnnet.CosineDecay(3e-3, steps=720), beta1=0.9)
state = fnnet.init_state(model, optimizer, key)
state, history = fnnet.fit(
    model, optimizer, state, data, epochs=2, batch_size=16, shuffle=key, validation=0.2, progress=False,
    early_stopping=fnnet.EarlyStopping(patience=5), plateau=fnnet.ReduceOnPlateau(0.5, patience=2),
)  # fmt: skip
assert_type(state, TrainState)
assert_type(history, History)
last: float = float(history.validation.loss[-1])
metrics = fnnet.evaluate(model, state.params, data)
assert_type(metrics, Metrics)
values: Array = fnnet.predict(model, state.params, x)

# the pure functions
params = fnnet.init(model, key)
outputs: Array = fnnet.forward(model, params, x, key=key)
value, grads = fnnet.backward(model, params, x, y, weights=np.ones(50))
stepped = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
p = fnnet.backprop(model, params, data)
assert_type(p, fnnet.Pass)
state, metrics = fnnet.train_step(model, optimizer, state, fnnet.Batch(x[:8], y[:8]))
assert_type(state, TrainState)
state, metrics = fnnet.train_epoch(model, optimizer, state, data, batch_size=8, shuffle=None)
state, history = fnnet.train(model, optimizer, state, data, epochs=2, batch_size=8, shuffle=key, validation=data)
assert_type(history, History)
program = fnnet.train.lower(model, optimizer, state, data, epochs=2, batch_size=8, shuffle=key)


@jax.jit
def descend(state: TrainState, batch: fnnet.Batch) -> tuple[TrainState, Metrics]:
    return fnnet.train_step(model, optimizer, state, batch)


# layers, optimizers and losses as the contracts that they fulfill
network = fnnet.Serial((fnnet.Flatten(), fnnet.Rescale(1 / 255), fnnet.Dense(8, biases=None), fnnet.Relu()))
layers: list[fnnet.Layer] = [network, fnnet.Residual(fnnet.Dense(8)), fnnet.Dropout(0.5)]
also = fnnet.Serial([fnnet.Dense(8), fnnet.Relu()])
sequences = fnnet.Serial((fnnet.Recurrent(fnnet.Lstm(8)), fnnet.Recurrent(fnnet.Gru(8)), fnnet.LastStep()))
cells: list[fnnet.Cell] = [fnnet.Rnn(8), fnnet.Gru(8), fnnet.Lstm(8, forget_bias=0)]
losses: list[fnnet.Loss] = [fnnet.SquaredError(), fnnet.Huber(1.5), fnnet.SoftmaxCrossEntropy(label_smoothing=0.1)]
optimizers: list[fnnet.Optimizer] = [
    fnnet.Sgd(0.1, momentum=0.9, nesterov=True),
    fnnet.Chain((fnnet.ClipByGlobalNorm(1.0), fnnet.AdamW(1e-3, weight_decay=1e-2))),
]
penalties: list[fnnet.Penalty] = [fnnet.L1(1e-4), fnnet.L2(1e-4)]
initializers: list[fnnet.Initializer] = [fnnet.HeNormal(), fnnet.Zeros()]
schedules: list[fnnet.Schedule] = [fnnet.Warmup(10, fnnet.CosineDecay(1e-3, steps=100))]


# a layer of one's own, residuals and parameters of any type
class PReluParams(NamedTuple):
    a: Array


@fnnet.spec
class PRelu:
    slope: fnnet.Number = 0.25
    shared: bool = fnnet.static(default=False)

    def init(self, key: Array, in_shape: tuple[int, ...]) -> tuple[PReluParams, tuple[int, ...]]:
        return PReluParams(jnp.full(() if self.shared else in_shape[-1:], self.slope)), in_shape

    def forward(self, params: PReluParams, x: Array, *, key: Array | None = None) -> tuple[Array, Array]:
        return jnp.where(x > 0, x, params.a * x), x

    def backward(self, params: PReluParams, x: Array, dy: Array) -> tuple[PReluParams, Array]:
        da = jnp.where(x > 0, 0, dy * x)
        return PReluParams(da.sum() if self.shared else da.sum(0)), jnp.where(x > 0, dy, params.a * dy)


@fnnet.spec
class Bare:
    """The same without annotations, and with names of the author's own."""

    slope: fnnet.Number = 0.25

    def init(self, key, in_shape):
        return jnp.full(in_shape[-1:], self.slope), in_shape

    def forward(self, a, x, *, key=None):
        return jnp.where(x > 0, x, a * x), x

    def backward(self, a, x, dy):
        return jnp.where(x > 0, 0, dy * x).sum(0), jnp.where(x > 0, dy, a * dy)


@fnnet.spec
class LogCosh:
    def forward(self, outputs: Array, targets: Array) -> tuple[Array, Array]:
        r = outputs - targets
        return jnp.log(jnp.cosh(r)).sum(-1), r

    def backward(self, r: Array, dper_example: Array) -> Array:
        return jnp.tanh(r) * dper_example[:, None]

    def predict(self, outputs: Array) -> Array:
        return outputs


own: list[fnnet.Layer] = [PRelu(), PRelu(0.1), PRelu(slope=0.1, shared=True), Bare(), Bare(0.1)]
model = fnnet.Model(fnnet.Serial((fnnet.Dense(8), PRelu(), Bare())), loss=LogCosh(), input_shape=(2,))
model = fnnet.Model(network=fnnet.Serial((fnnet.Dense(1),)), loss=LogCosh(), input_shape=(2,), penalty=fnnet.L2(1e-4))
report = fnnet.check_gradients(PRelu(), in_shape=(5,), key=key)
report.raise_if_failed()

# a sweep
points = grid(
    Configuration(model, fnnet.Adam(1e-3), batch_size=32),
    {"optimizer.learning_rate": (1e-4, 1e-3), "model.network[1]": {"relu": fnnet.Relu(), "tanh": fnnet.Tanh()}},
)
assert_type(points[0], Point)
results = sweep(points, data, epochs=2, seeds=range(3), shuffle=key, validation=data, rank_by="loss", progress=False)
assert_type(results, Results)
best: Configuration = points[results.best()].configuration

# saved, and restored
fnnet.save("run.safetensors", model, optimizer, state)
restored = fnnet.restore("run.safetensors", types=(PRelu, LogCosh))
saver: Callable[..., object] = fnnet.save
