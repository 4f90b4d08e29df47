"""Typical mistakes: pyright has to refuse each line that is marked with the rule it breaks, and no other.

Type checked by `tests/typing/test_typing.py`; never run.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import fnnet
from fnnet.sweeps import Configuration, grid, sweep

key = jax.random.key(0)
data = fnnet.Batch(np.zeros((50, 2)), np.zeros((50, 1)))
model = fnnet.mlp((2, 8, 1), loss=fnnet.SquaredError())
optimizer = fnnet.Adam(1e-3)
state = fnnet.init_state(model, optimizer, key)

# functions that jax.jit wraps keep their signatures
fnnet.evaluate(1, 2, 3, nonsense=4)  # error: reportCallIssue
fnnet.evaluate(model, state.params)  # error: reportCallIssue
fnnet.train(model, optimizer, state, data, batch_size=8, shuffle=key)  # error: reportCallIssue
fnnet.train(model, optimizer, state, data, epochs=2.5, batch_size=8, shuffle=key)  # error: reportArgumentType
fnnet.train_step(model, optimizer, state, data).params  # error: reportAttributeAccessIssue
fnnet.train_epoch(model, optimizer, state, data, batch_size=8)  # error: reportCallIssue
fnnet.init_state(model, key, optimizer)  # error: reportArgumentType
fnnet.init_state(model, optimizer, key, dtyp=jnp.float32)  # error: reportCallIssue
fnnet.init(model)  # error: reportCallIssue
fnnet.predict(model, state.params, data.x, key=key)  # error: reportCallIssue
fnnet.backprop(state.params, model, data).nonsense  # error: reportAttributeAccessIssue

# the shell
fnnet.fit(model, optimizer, state, data, epochs=2, batch_size=8)  # error: reportCallIssue
fnnet.fit(model, optimizer, state, data, epochs=2, batch_size=8, order=key)  # error: reportCallIssue
fnnet.fit(model, optimizer, state, data, epochs=2, batch_size=8, shuffle=key, mesh=2)  # error: reportArgumentType
fnnet.fit(model, optimizer, state.params, "digits", epochs=2, batch_size=8, shuffle=key)  # error: reportArgumentType
run = fnnet.fit(model, optimizer, state, data, epochs=2, batch_size=8, shuffle=key)
run.accuracy  # error: reportAttributeAccessIssue
run[1].validaton  # error: reportAttributeAccessIssue
fnnet.evaluate(model, state.params, data).acuracy  # error: reportAttributeAccessIssue

# strings, classes and foreign objects where a spec belongs
fnnet.init_state(model, "adam", key)  # error: reportArgumentType
fnnet.init_state(model, fnnet.Adam, key)  # error: reportArgumentType
fnnet.mlp((2, 8, 1), activation="relu")  # error: reportArgumentType
fnnet.mlp((2, 8, 1), loss="mse")  # error: reportArgumentType
fnnet.Model(network=fnnet.Relu(), loss="mse", input_shape=(2,))  # error: reportArgumentType
fnnet.Model(network=optimizer, loss=fnnet.Huber(), input_shape=(2,))  # error: reportArgumentType
fnnet.Serial((fnnet.Dense(2), fnnet.Adam(1e-3)))  # error: reportArgumentType
fnnet.Chain((fnnet.Adam(1e-3), fnnet.Relu()))  # error: reportArgumentType

# specs: their fields are their arguments, and never change
fnnet.EarlyStopping(patence=5)  # error: reportCallIssue
fnnet.CosineDecay(steps=10)  # error: reportCallIssue
fnnet.Recurrent(fnnet.Dense(2))  # error: reportArgumentType
fnnet.Dense()  # error: reportCallIssue
fnnet.Dense("8")  # error: reportArgumentType
fnnet.Dense(64, 128)  # error: reportArgumentType
fnnet.AdamW(1e-3, decay=0.1)  # error: reportCallIssue
fnnet.Sgd(0.1, nesterov="yes")  # error: reportArgumentType
fnnet.Dense(8).features = 9  # error: reportAttributeAccessIssue


@fnnet.spec
class NoBackward:
    def init(self, key: Array, in_shape: tuple[int, ...]) -> tuple[tuple[()], tuple[int, ...]]:
        return (), in_shape

    def forward(self, params: tuple[()], x: Array, *, key: Array | None = None) -> tuple[Array, Array]:
        return x, x


@fnnet.spec
class NoKey:
    size: int = fnnet.static()

    def init(self, key: Array, in_shape: tuple[int, ...]) -> tuple[tuple[()], tuple[int, ...]]:
        return (), in_shape

    def forward(self, params: tuple[()], x: Array) -> tuple[Array, Array]:
        return x, x

    def backward(self, params: tuple[()], x: Array, dy: Array) -> tuple[tuple[()], Array]:
        return (), dy


no_backward: fnnet.Layer = NoBackward()  # error: reportAssignmentType
no_key: fnnet.Layer = NoKey(3)  # error: reportAssignmentType
NoKey()  # error: reportCallIssue
fnnet.Serial((NoBackward(),))  # error: reportArgumentType
fnnet.check_gradients(fnnet.Dense(3), inshape=(3,), key=key)  # error: reportCallIssue

# sweeps
points = grid(Configuration(model, optimizer, batch_size=8), {"optimizer.learning_rate": (0.1, 0.2)})
sweep(points, epochs=2, seeds=range(3), shuffle=key)  # error: reportCallIssue
sweep(points, data, epochs=2, seeds=range(3), shuffle=key).best_point()  # error: reportAttributeAccessIssue
sweep(points, data, epochs=2, seeds=range(3), shuffle=key, by="loss")  # error: reportCallIssue
points[0].optimizer  # error: reportAttributeAccessIssue
