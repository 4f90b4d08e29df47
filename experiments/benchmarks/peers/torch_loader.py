"""PyTorch as its quickstart teaches it: a Dataset, a DataLoader that shuffles, a loop over its batches."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from experiments.benchmarks.peers.torch_memory import classes, decay, network
from experiments.benchmarks.task import THREADS, Task, Trainer


def mnist(task: Task) -> Trainer:
    torch.set_num_threads(THREADS)
    torch.manual_seed(task.seed)
    rows = TensorDataset(torch.tensor(task.x).float() / 255, torch.tensor(task.y).long())
    loader = DataLoader(rows, batch_size=task.batch_size, shuffle=True)
    model, loss_fn = network(task), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=task.learning_rate)
    scheduler = decay(optimizer, task)

    def train(epochs: int) -> None:
        model.train()
        for _ in range(epochs):
            for x, y in loader:
                loss = loss_fn(model(x), y)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                if scheduler is not None:
                    scheduler.step()

    return Trainer(train, lambda x: classes(model, x))
