"""PyTorch with the rows as one tensor in memory, indexed by a permutation."""

import torch
from torch import nn

from experiments.benchmarks.task import THREADS, Task, Trainer


def network(task: Task, activation=nn.ReLU) -> nn.Sequential:
    """nn.Sequential of nn.Linear and activations, started at the task's weights."""
    layers = []
    for w, b in task.weights:
        layer = nn.Linear(*w.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(w.T))
            layer.bias.copy_(torch.from_numpy(b))
        layers += [layer, activation()]
    return nn.Sequential(*layers[:-1])


def decay(optimizer, task: Task):
    """The rate falling linearly to 0, or None."""
    steps = task.decay_steps
    return None if steps is None else torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)


def classes(model: nn.Module, x) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor(x).float() / 255).argmax(dim=1).numpy()


def mnist(task: Task, compiled: bool = False) -> Trainer:
    torch.set_num_threads(THREADS)
    torch.manual_seed(task.seed)
    x, y = torch.tensor(task.x).float() / 255, torch.tensor(task.y).long()
    model, loss_fn = network(task), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=task.learning_rate, fused=True if compiled else None)
    scheduler = decay(optimizer, task)
    forward = torch.compile(model) if compiled else model

    def train(epochs: int) -> None:
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(task.batch_size):
                loss = loss_fn(forward(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if scheduler is not None:
                    scheduler.step()

    return Trainer(train, lambda x: classes(model, x))


def xor(task: Task) -> Trainer:
    torch.set_num_threads(THREADS)
    x, y = torch.tensor(task.x), torch.tensor(task.y)
    model, loss_fn = network(task, nn.Sigmoid), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=task.learning_rate)

    def train(epochs: int) -> None:
        for _ in range(epochs):
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def predict(x):
        with torch.no_grad():
            return torch.sigmoid(model(torch.tensor(x))).numpy()

    return Trainer(train, predict)
