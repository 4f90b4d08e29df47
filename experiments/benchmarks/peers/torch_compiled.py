"""PyTorch with the rows in memory, the network through torch.compile and the fused Adam."""

from experiments.benchmarks.peers import torch_memory
from experiments.benchmarks.task import Task, Trainer


def mnist(task: Task) -> Trainer:
    return torch_memory.mnist(task, compiled=True)
