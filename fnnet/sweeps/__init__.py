"""Sweeps: one program, thousands of runs, any number of devices and hosts."""

from fnnet.sweeps.chunks import collect, share
from fnnet.sweeps.points import Between, Configuration, Point, Stacked, draw, grid, pick, put, stack
from fnnet.sweeps.running import sweep
from fnnet.sweeps.table import Summary, Table, join, read

__all__ = [
    "Between",
    "Configuration",
    "Point",
    "Stacked",
    "Summary",
    "Table",
    "collect",
    "draw",
    "grid",
    "join",
    "pick",
    "put",
    "read",
    "share",
    "stack",
    "sweep",
]
