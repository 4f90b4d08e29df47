"""The networks over tokens in PyTorch, eager and compiled."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from experiments.benchmarks.task import THREADS


class Lstm(nn.Module):
    """Embedding, `nn.LSTM`, and logits of every step, started at fnnet's parameters."""

    def __init__(self, params: Any) -> None:
        super().__init__()
        embedding, ((w, b), (w_h, _)), dense = params
        self.embedding = nn.Embedding(*embedding.w.shape)
        self.lstm = nn.LSTM(w.shape[0], w_h.shape[0], batch_first=True)
        self.dense = nn.Linear(*dense.w.shape)
        start = {"weight_ih_l0": w.T, "weight_hh_l0": w_h.T, "bias_ih_l0": b, "bias_hh_l0": 0 * b}
        with torch.no_grad():
            for name, p in start.items():
                getattr(self.lstm, name).copy_(torch.tensor(np.array(p)))
            self.embedding.weight.copy_(torch.tensor(np.array(embedding.w)))
            self.dense.weight.copy_(torch.tensor(np.array(dense.w.T)))
            self.dense.bias.copy_(torch.tensor(np.array(dense.b)))

    def forward(self, tokens: Any) -> Any:
        return self.dense(self.lstm(self.embedding(tokens))[0])


def train(model: nn.Module, batches: tuple[np.ndarray, np.ndarray], compiled: bool) -> Callable[[], None]:
    """A call is one step per batch; the batches lie in memory."""
    torch.set_num_threads(THREADS)
    forward, loss_fn = torch.compile(model) if compiled else model, nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    parts = [tuple(torch.tensor(np.array(a)).long() for a in pair) for pair in zip(*batches, strict=True)]

    def run() -> None:
        for x, y in parts:
            loss = loss_fn(forward(x).flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run
