"""Writes recurrent.npz: outputs and gradients of PyTorch's recurrent layers, in float64, for numbers drawn here.

    peers/bin/python tests/layers/references/make_recurrent.py     # peers: see make_layers.py

A row is PyTorch's own expression, evaluated here and the id of a test there. x is (B, T, I).
"""

from pathlib import Path

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
torch.manual_seed(0)

ROWS = {
    "torch.nn.RNN(3, 4, batch_first=True)": (2, 5, 3),
    "torch.nn.GRU(3, 4, batch_first=True)": (2, 5, 3),
    "torch.nn.LSTM(3, 4, batch_first=True)": (2, 5, 3),
    "torch.nn.LSTM(3, 4, bias=False, batch_first=True)": (2, 5, 3),
}


def reference(row, shape):
    layer, x = eval(row), torch.randn(shape).requires_grad_()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape))
    y, _ = layer(x)
    dy = torch.randn(y.shape)
    y.backward(dy)
    arrays = {"x": x, "y": y, "dy": dy, "dx": x.grad}
    for name, p in layer.named_parameters():
        arrays |= {name.removesuffix("_l0"): p, f"d{name.removesuffix('_l0')}": p.grad}
    return {f"{row}|{name}": a.detach().numpy() for name, a in arrays.items()}


stored = {}
for row, shape in ROWS.items():
    stored |= reference(row, shape)
np.savez_compressed(Path(__file__).parent / "recurrent.npz", **stored)
