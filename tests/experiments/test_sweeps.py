"""The scripts that sweep, shortened: the files they leave, and that their numbers are those of the runs."""

import csv
import dataclasses
import itertools
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

import fnnet
from experiments import sweep_halving, sweep_learning_rate, sweep_xor
from fnnet.sweeps import stack


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def solved_by_hand(point, seed, steps):
    """2-4-1 in NumPy: gradient descent with momentum on the four rows from the same first weights."""
    c = point.configuration
    first, _, last = fnnet.init_state(c.model, c.optimizer, jax.random.key(seed)).params
    theta = [np.array(a, np.float64) for a in (first.w, first.b, last.w, last.b)]
    v = [np.zeros_like(a) for a in theta]
    x, y, _ = fnnet.datasets.xor()
    for _ in range(steps):
        w1, b1, w2, b2 = theta
        h = sigmoid(x @ w1 + b1)
        dz = (sigmoid(h @ w2 + b2) - y) / 4
        dh = dz @ w2.T * h * (1 - h)
        gradients = [x.T @ dh, dh.sum(0), h.T @ dz, dz.sum(0)]
        v = [c.optimizer.momentum * a + g for a, g in zip(v, gradients, strict=True)]
        theta = [a - c.optimizer.learning_rate * b for a, b in zip(theta, v, strict=True)]
    w1, b1, w2, b2 = theta
    return ((sigmoid(sigmoid(x @ w1 + b1) @ w2 + b2) > 0.5) == y).mean()


@pytest.mark.slow
def test_xor_networks_are_those_of_numpy(tmp_path):
    config = sweep_xor.Config(configurations=60, steps=300, progress=False, runs=tmp_path)
    results = sweep_xor.main(config)
    points = sweep_xor.points(config)
    calm = [i for i in range(60) if points[i].settings["optimizer.learning_rate"] < 10][::2]  # above, rounding decides
    by_hand = [solved_by_hand(points[i], 0, 299) for i in calm]  # the last value is from before the last step
    assert len(calm) >= 15
    assert 0 < np.mean(results.metric("accuracy") == 1) < 1
    np.testing.assert_allclose(results.metric("accuracy")[calm], by_hand)
    (run,) = (tmp_path / "sweep_xor").iterdir()
    assert len(list(csv.DictReader((run / "results.csv").read_text().splitlines()))) == 60
    assert (run / "sweep_xor.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_learning_rates_on_two_hosts(tmp_path, capsys):
    config = sweep_learning_rate.Config(
        data="digits", learning_rates=(1e-3, 1e-2, 1e38), activations=("relu", "tanh"), seeds=2, epochs=3,
        hidden=(8, 8), chunk=3, hosts=2, chunks=tmp_path / "chunks", runs=tmp_path / "runs", progress=False,
    )  # fmt: skip
    assert sweep_learning_rate.main(config) is None
    assert "other hosts still work" in capsys.readouterr().out
    results = sweep_learning_rate.main(dataclasses.replace(config, host=1))
    assert results.summary().diverged.tolist() == [0, 0, 2] * 2
    assert results.best() in (1, 4)
    (run,) = (tmp_path / "runs" / "sweep_learning_rate").iterdir()
    for name in ("sweep_learning_rate", "sweep_learning_rate_curves"):
        assert (run / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "test accuracy" in capsys.readouterr().out


@pytest.mark.slow
def test_halving_keeps_the_better_half_and_is_train():
    """Every rung's survivors are its best, NaN never is, and the winner's losses are those of training it alone."""
    points = sweep_halving.sampled(sweep_halving.Config(points=8))
    points = (points[0]._replace(configuration=with_rate(points[0].configuration, 1e30)), *points[1:])
    digits = fnnet.datasets.digits()
    train, validation = fnnet.Batch(digits.x[:200], digits.y[:200]), fnnet.Batch(digits.x[200:300], digits.y[200:300])
    key, order = jax.random.key(3), jax.random.key(4)
    rungs = sweep_halving.halving(stack([p.configuration for p in points]), key, order, train, validation, 1)
    assert [(len(r.points), r.epochs) for r in rungs] == [(8, 1), (4, 2), (2, 4), (1, 8)]
    for before, after in itertools.pairwise(rungs):
        worst = max(before.losses[np.isin(before.points, after.points)])
        lost = before.losses[~np.isin(before.points, after.points)]
        assert (np.isnan(lost) | (lost >= worst)).all()
    assert 0 not in rungs[1].points
    winner = rungs[-1].points[0]
    c = points[winner].configuration
    state = fnnet.init_state(c.model, c.optimizer, jax.random.split(key, 8)[winner])
    _, history = fnnet.train(c.model, c.optimizer, state, train, epochs=15, batch_size=64, shuffle=order,
                             validation=validation)  # fmt: skip
    np.testing.assert_allclose(rungs[-1].losses[0], history.validation.loss[-1], rtol=1e-2)


def with_rate(configuration, rate):
    return dataclasses.replace(configuration, optimizer=fnnet.Adam(rate))


@pytest.mark.slow
def test_optuna_finds_better_points_from_round_to_round():
    pytest.importorskip("optuna")
    from experiments import sweep_optuna

    study = sweep_optuna.main(sweep_optuna.Config(rounds=2, at_once=6, epochs=3))
    losses = [trial.value for trial in study.trials]
    assert len(losses) == 12
    assert study.best_value == min(losses) < np.median(losses[:6])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("sweep_xor", "Standard deviation of the first weights"),
        ("sweep_learning_rate", "How many machines share the work"),
        ("sweep_halving", "halved after every rung"),
    ],
)
def test_help_explains_settings(script, words):
    command = [sys.executable, "-m", f"experiments.{script}", "--help"]
    environment = os.environ | {"COLUMNS": "120"}
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert words in text
    assert "(default:" in text
