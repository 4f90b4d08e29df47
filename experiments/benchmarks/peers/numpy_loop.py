"""Plain NumPy, the loop of every tutorial that writes back-propagation out."""

import numpy as np

from experiments.benchmarks.task import Task, Trainer, pixels, shuffled_batches


def mnist(task: Task) -> Trainer:
    x, y = pixels(task.x), task.y
    params = [p.copy() for pair in task.weights for p in pair]
    m, v = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    rng, step = np.random.default_rng(task.seed), 0

    def forward(x):
        activations = [x]
        for i in range(0, len(params) - 2, 2):
            activations.append(np.maximum(activations[-1] @ params[i] + params[i + 1], 0))
        return activations, activations[-1] @ params[-2] + params[-1]

    def backward(x, y):
        activations, logits = forward(x)
        exps = np.exp(logits - logits.max(axis=1, keepdims=True))
        delta = exps / exps.sum(axis=1, keepdims=True)
        delta[np.arange(len(y)), y] -= 1
        delta /= len(y)
        grads = []
        for i in reversed(range(len(activations))):
            grads = [activations[i].T @ delta, delta.sum(axis=0), *grads]
            if i:
                delta = (delta @ params[2 * i].T) * (activations[i] > 0)
        return grads

    def train(epochs: int) -> None:
        nonlocal step
        for rows in shuffled_batches(task, epochs, rng):
            rate = task.learning_rate * (1 - step / task.decay_steps if task.decay_steps else 1)
            step += 1
            rate *= np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            for i, g in enumerate(backward(x[rows], y[rows])):
                m[i] += 0.1 * (g - m[i])
                v[i] += 0.001 * (g * g - v[i])
                params[i] -= np.float32(rate) * m[i] / (np.sqrt(v[i]) + np.float32(1e-8))

    return Trainer(train, lambda x: forward(pixels(x))[1].argmax(axis=1))


def xor(task: Task) -> Trainer:
    (w1, b1), (w2, b2) = [(w.copy(), b.copy()) for w, b in task.weights]
    x, y, rate = task.x, task.y, np.float32(task.learning_rate)

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    def train(epochs: int) -> None:
        nonlocal w1, b1, w2, b2
        for _ in range(epochs):
            h = sigmoid(x @ w1 + b1)
            p = sigmoid(h @ w2 + b2)
            d2 = (p - y) / len(x)
            d1 = (d2 @ w2.T) * h * (1 - h)
            w2 -= rate * (h.T @ d2)
            b2 -= rate * d2.sum(axis=0)
            w1 -= rate * (x.T @ d1)
            b1 -= rate * d1.sum(axis=0)

    return Trainer(train, lambda x: sigmoid(sigmoid(x @ w1 + b1) @ w2 + b2))
