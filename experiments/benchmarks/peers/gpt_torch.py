"""The GPT of `fnnet.gpt` in PyTorch, eager: fused attention, AdamW, and the loss over tokens that follow."""

import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

# before PyTorch is loaded: on a busy machine threads that spin while they wait cost it many times the time
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import nn
from torch.nn import functional

from experiments.benchmarks.task import THREADS

_NO_TARGET = -1


class Attention(nn.Module):
    """Causal, the projections of queries, keys and values in one product."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.inputs, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        q, k, v = self.inputs(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        o = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(o.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), with dropout before each sum."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norms, self.attention = nn.ModuleList(nn.LayerNorm(width) for _ in range(2)), Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        x = x + self.dropout(self.attention(self.norms[0](x)))
        return x + self.dropout(self.mlp(self.norms[1](x)))


class Gpt(nn.Module):
    """Started at the parameters of `fnnet.gpt`: embedding, learned positions, blocks, norm, logits."""

    def __init__(self, params: Any, heads: int, dropout: float) -> None:
        super().__init__()
        embedding, positions, *blocks, norm, dense = (layer for layer in params if layer)  # dropout has none
        (tokens, width), context = embedding.w.shape, positions.w.shape[0]
        self.embedding, self.positions = nn.Embedding(tokens, width), nn.Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in blocks[::2]))
        self.norm, self.dense = nn.LayerNorm(width), nn.Linear(width, tokens)
        with torch.no_grad():
            _copy(self.embedding.weight, embedding.w)
            _copy(self.positions.weight, positions.w)
            _start(self.norm, norm.scale, norm.shift)
            _start(self.dense, dense.w.T, dense.b)
            for block, (norm_1, attention, *_), (norm_2, first, _, last, *_) in zip(
                self.blocks, blocks[::2], blocks[1::2], strict=True
            ):
                _start(block.norms[0], norm_1.scale, norm_1.shift)
                _start(block.norms[1], norm_2.scale, norm_2.shift)
                _start(block.attention.inputs, *(np.concatenate([np.asarray(a).T for a in b]) for b in _qkv(attention)))
                _start(block.attention.out, attention.out.w.T, attention.out.b)
                _start(block.mlp[0], first.w.T, first.b)
                _start(block.mlp[2], last.w.T, last.b)

    def forward(self, tokens: Any) -> Any:
        x = self.embedding(tokens) + self.positions.weight[: tokens.shape[1]]
        return self.dense(self.norm(self.blocks(self.dropout(x))))


class Trainer:
    """AdamW on batches in the order given; weights, embeddings and positions decay, and the rest does not.

    params  of `fnnet.gpt`, to start at
    rates   learning rate of every update
    clip    largest norm of all gradients together, None: any
    dropout of the embedding, and of what every part of a block adds
    rounded whether PyTorch chooses bfloat16 where it can (autocast)

    `seconds` is how long the updates took so far.
    """

    def __init__(
        self, params: Any, heads: int, rates: Sequence[float] | np.ndarray, betas: tuple[float, float],
        weight_decay: float, clip: float | None = None, dropout: float = 0.0, rounded: bool = False,
    ) -> None:  # fmt: skip
        torch.set_num_threads(THREADS)
        self.model, self.clip, self.rates, self.rounded = Gpt(params, heads, dropout), clip, rates, rounded
        self.step, self.seconds = 0, 0.0
        weights = [p for p in self.model.parameters() if p.ndim == 2]
        others = [p for p in self.model.parameters() if p.ndim != 2]
        groups = [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=float(rates[0]), betas=betas, fused=True)

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> float:
        """One update per batch; the mean of their losses."""
        self.model.train()
        begun = time.perf_counter()
        losses, parts = [], [_tensor(a).split(batch_size) for a in (x, y)]
        for tokens, targets in zip(*parts, strict=True):
            for group in self.optimizer.param_groups:
                group["lr"] = float(self.rates[self.step])
            with torch.autocast("cpu", torch.bfloat16, enabled=self.rounded):
                loss = _loss(self.model(tokens), targets)
            self.optimizer.zero_grad()
            loss.backward()
            if self.clip is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            self.optimizer.step()
            self.step += 1
            losses.append(loss.detach())
        mean = float(torch.stack(losses).mean())
        self.seconds += time.perf_counter() - begun
        return mean

    @torch.no_grad()
    def loss(self, x: np.ndarray, y: np.ndarray, batch_size: int = 128) -> float:
        """The mean loss of a target, without dropout."""
        self.model.eval()
        total, parts = 0.0, [_tensor(a).split(batch_size) for a in (x, y)]
        for tokens, targets in zip(*parts, strict=True):
            total += float(_loss(self.model(tokens), targets, reduction="sum"))
        return total / int((y != _NO_TARGET).sum())


def _loss(logits: Any, targets: Any, reduction: str = "mean") -> Any:
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction=reduction)


def _qkv(attention: Any) -> tuple[Any, Any]:
    """The matrices of queries, keys and values, and their biases."""
    parts = attention[:3]
    return [p.w for p in parts], [p.b for p in parts]


def _start(module: Any, weight: Any, bias: Any) -> None:
    _copy(module.weight, weight)
    _copy(module.bias, bias)


def _copy(to: Any, values: Any) -> None:
    to.copy_(torch.tensor(np.array(values)))


def _tensor(a: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.array(a)).long()
