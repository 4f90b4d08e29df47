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


class Gpt(nn.Module):
    """A transformer with PyTorch's fused attention, started at fnnet's parameters."""

    def __init__(self, params: Any) -> None:
        super().__init__()
        embedding, positions, *blocks, norm, head = params
        self.embedding = nn.Embedding(*embedding.w.shape)
        self.positions = nn.Parameter(torch.tensor(np.array(positions.w)))
        self.blocks = nn.ModuleList(Block(*pair) for pair in zip(blocks[::2], blocks[1::2], strict=True))
        self.norm, self.head = _norm(norm), _linear(head)
        with torch.no_grad():
            self.embedding.weight.copy_(torch.tensor(np.array(embedding.w)))

    def forward(self, tokens: Any) -> Any:
        h = self.embedding(tokens) + self.positions
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    HEADS = 4

    def __init__(self, attention: Any, mlp: Any) -> None:
        super().__init__()
        (norm, projections), (norm_2, hidden, _, out) = attention, mlp
        together = tuple(np.concatenate([np.array(a) for a in each], -1) for each in zip(*projections[:3], strict=True))
        self.norm, self.qkv, self.out = _norm(norm), _linear(together), _linear(projections.out)
        self.mlp = nn.Sequential(_norm(norm_2), _linear(hidden), nn.GELU(), _linear(out))

    def forward(self, x: Any) -> Any:
        rows, steps, width = x.shape
        heads = (a.view(rows, steps, self.HEADS, -1).transpose(1, 2) for a in self.qkv(self.norm(x)).chunk(3, -1))
        y = nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(rows, steps, width))
        return x + self.mlp(x)


def _linear(p: Any) -> nn.Linear:
    w, b = (torch.tensor(np.array(a)) for a in p)
    linear = nn.Linear(*w.shape)
    with torch.no_grad():
        linear.weight.copy_(w.T)
        linear.bias.copy_(b)
    return linear


def _norm(p: Any) -> nn.LayerNorm:
    return nn.LayerNorm(len(p.scale))


def can_round() -> bool:
    """Whether PyTorch itself says that it computes in bfloat16 on this CPU; elsewhere its LSTM fails."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def train(
    model: nn.Module, batches: tuple[np.ndarray, np.ndarray], compiled: bool, rounded: bool = False
) -> Callable[[], None]:
    """A call is one step per batch; the batches lie in memory. Rounded: PyTorch's automatic choice of bfloat16."""
    torch.set_num_threads(THREADS)
    forward, loss_fn = torch.compile(model) if compiled else model, nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    parts = [tuple(torch.tensor(np.array(a)).long() for a in pair) for pair in zip(*batches, strict=True)]

    def run() -> None:
        for x, y in parts:
            with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
                loss = loss_fn(forward(x).flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run
