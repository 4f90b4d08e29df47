"""Writes layers.npz: outputs and gradients of PyTorch's layers, in float64, for inputs and weights drawn here.

    python -m venv peers && peers/bin/pip install torch==2.13.0 numpy
    peers/bin/python tests/layers/references/make_layers.py

A row is PyTorch's own expression, evaluated here and the id of a test there, with the shape of its input (channels
first). Inputs of pooling are integers, so that windows hold ties. Every array is stored channels first, as PyTorch has
it. Batch norms are run in training mode and store their running statistics after one batch, but for the last row.
"""

from pathlib import Path

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
torch.manual_seed(0)

ROWS = {
    "torch.nn.Conv2d(1, 4, 3, padding='same')": (3, 1, 6, 7),
    "torch.nn.Conv2d(3, 2, (5, 3), stride=(2, 1))": (2, 3, 8, 7),
    "torch.nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)": (2, 4, 9, 8),
    "torch.nn.Conv2d(3, 6, 3, stride=3, padding=(2, 0), groups=3)": (2, 3, 7, 8),
    "torch.nn.Conv1d(2, 3, 3, stride=2, padding=2, dilation=2)": (3, 2, 9),
    "torch.nn.ConvTranspose2d(3, 2, 3, stride=2)": (2, 3, 4, 5),
    "torch.nn.ConvTranspose2d(4, 6, (2, 3), stride=(3, 2), padding=(0, 1), groups=2)": (2, 4, 3, 4),
    "torch.nn.ConvTranspose1d(2, 3, 3, stride=3, padding=1, dilation=2)": (2, 2, 5),
    "torch.nn.MaxPool2d(2)": (3, 2, 6, 7),
    "torch.nn.MaxPool2d(3, stride=2, padding=1)": (3, 2, 6, 7),
    "torch.nn.MaxPool1d(3, stride=1, padding=1)": (3, 2, 6),
    "torch.nn.AvgPool2d(2)": (3, 2, 6, 7),
    "torch.nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)": (3, 2, 6, 7),
    "torch.nn.AdaptiveAvgPool2d(1)": (3, 2, 4, 5),
    "torch.nn.AdaptiveMaxPool2d(1)": (3, 2, 4, 5),
    "torch.nn.LayerNorm(5)": (3, 5),
    "torch.nn.RMSNorm(5, eps=1e-3)": (3, 5),
    "torch.nn.GroupNorm(2, 6)": (3, 6, 4, 5),
    "torch.nn.BatchNorm1d(5, momentum=0.1)": (7, 5),
    "torch.nn.BatchNorm2d(3, momentum=0.2, eps=1e-3)": (4, 3, 2, 5),
    "torch.nn.BatchNorm2d(3).eval()": (4, 3, 2, 5),
}


def reference(row, shape):
    layer = eval(row)
    pooling = "Pool" in row
    x = (torch.randint(-3, 3, shape).to(torch.float64) if pooling else torch.randn(shape)).requires_grad_()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape))
        if not layer.training:
            layer.running_mean.copy_(torch.randn(3))
            layer.running_var.copy_(torch.rand(3) + 0.5)
    y = layer(x)
    dy = torch.randn(y.shape)
    y.backward(dy)
    arrays = {"x": x, "y": y, "dy": dy, "dx": x.grad}
    for name, p in layer.named_parameters():
        arrays |= {name: p, f"d{name}": p.grad}
    arrays |= {name: a for name, a in layer.named_buffers() if a.ndim}
    return {f"{row}|{name}": a.detach().numpy() for name, a in arrays.items()}


stored = {}
for row, shape in ROWS.items():
    stored |= reference(row, shape)
np.savez_compressed(Path(__file__).parent / "layers.npz", **stored)
