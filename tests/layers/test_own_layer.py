"""A gated linear unit, written from the README alone: y = (x w) * sigmoid(x v + c)."""

import jax
import jax.numpy as jnp

import fnnet


@fnnet.spec
class Gated:
    """y = a * s with a = x w and s = sigmoid(x v + c): one half speaks, the other decides how loudly.

    Backward, given dy (each line is the chain rule through one factor):
        a = x w            da = dy * s
        s = sigmoid(g)     dg = dy * a * s (1 - s)
        g = x v + c        dv = x^T dg, dc = sum over rows of dg
        dw = x^T da
        dx = da w^T + dg v^T, because x is used twice
    """

    features: int = fnnet.static()

    def init(self, key, in_shape):
        kw, kv = jax.random.split(key)
        shape = (in_shape[-1], self.features)
        params = {
            "w": jax.random.normal(kw, shape) / jnp.sqrt(in_shape[-1]),
            "v": jax.random.normal(kv, shape) / jnp.sqrt(in_shape[-1]),
            "c": jnp.zeros(self.features),
        }
        return params, (self.features,)

    def forward(self, params, x, *, key=None):
        a = x @ params["w"]
        s = jax.nn.sigmoid(x @ params["v"] + params["c"][None])
        return a * s, (x, a, s)

    def backward(self, params, residuals, dy):
        x, a, s = residuals
        da = dy * s
        dg = dy * a * s * (1 - s)
        dparams = {"w": x.T @ da, "v": x.T @ dg, "c": dg.sum(0)}
        return dparams, da @ params["w"].T + dg @ params["v"].T


def test_gradients():
    report = fnnet.check_gradients(Gated(4), in_shape=(5,), key=jax.random.key(0))
    report.raise_if_failed()


def test_learns_digits():
    train, test = fnnet.datasets.stratified_split(fnnet.datasets.digits(), test_fraction=0.2, seed=0)
    network = fnnet.Serial((fnnet.Flatten(), fnnet.Rescale(1 / 16), Gated(64), fnnet.Dense(10)))
    model = fnnet.Model(network, fnnet.SoftmaxCrossEntropy(), input_shape=(8, 8))
    optimizer = fnnet.Adam(3e-3)
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    state, history = fnnet.train(
        model, optimizer, state, train, epochs=10, batch_size=32, shuffle=jax.random.key(1), validation=test
    )
    assert history.validation.accuracy[-1] >= 0.9
