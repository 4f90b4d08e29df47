"""scikit-learn's MLPClassifier; `partial_fit` goes through the rows once. It has its own start and a constant rate."""

import numpy as np
from sklearn.neural_network import MLPClassifier

from experiments.benchmarks.task import Task, Trainer, pixels


def mnist(task: Task) -> Trainer:
    x = pixels(task.x)
    hidden = tuple(len(b) for _, b in task.weights[:-1])
    network = MLPClassifier(
        hidden, alpha=0.0, batch_size=task.batch_size, learning_rate_init=task.learning_rate, random_state=task.seed
    )

    def train(epochs: int) -> None:
        for _ in range(epochs):
            network.partial_fit(x, task.y, classes=np.arange(10))

    return Trainer(train, lambda x: network.predict(pixels(x)))


def xor(task: Task) -> Trainer:
    network = MLPClassifier(
        (4,), activation="logistic", solver="sgd", momentum=0.0, alpha=0.0, batch_size=4, shuffle=False,
        learning_rate_init=task.learning_rate, random_state=42,
    )  # fmt: skip
    y = task.y[:, 0].astype(int)

    def train(epochs: int) -> None:
        for _ in range(epochs):
            network.partial_fit(task.x, y, classes=[0, 1])

    return Trainer(train, lambda x: network.predict_proba(x)[:, 1:])
