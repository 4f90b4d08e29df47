"""Writes attention.npz: outputs and gradients of PyTorch's attention and embedding, in float64, for what is drawn here.

    python -m venv peers && peers/bin/pip install torch==2.13.0 numpy
    peers/bin/python tests/layers/references/make_attention.py

The arrays of a row are named as PyTorch names them; `in_proj_weight` holds the projections to queries, keys and values
one below the other.
"""

from pathlib import Path

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
stored = {}


def store(row, layer, x, y):
    dy = torch.randn(y.shape)
    y.backward(dy)
    arrays = {"x": x, "y": y, "dy": dy} | ({"dx": x.grad} if x.requires_grad else {})
    for name, p in layer.named_parameters():
        arrays |= {name: p, f"d{name}": p.grad}
    stored.update({f"{row}|{name}": a.detach().numpy() for name, a in arrays.items()})


for row, causal, steps in (("causal", True, 17), ("not causal", False, 17), ("one step", True, 1), ("two", True, 2)):
    layer = torch.nn.MultiheadAttention(6, 2, batch_first=True)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape))
    x = torch.randn(3, steps, 6).requires_grad_()
    mask = torch.ones(steps, steps, dtype=torch.bool).triu(1) if causal else None
    store(f"attention, {row}", layer, x, layer(x, x, x, attn_mask=mask, need_weights=False)[0])

embedding = torch.nn.Embedding(5, 3)
tokens = torch.randint(0, 4, (3, 17))
store("embedding", embedding, tokens, embedding(tokens))
np.savez_compressed(Path(__file__).parent / "attention.npz", **stored)
