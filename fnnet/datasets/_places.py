"""The folders in which published data are looked for before anything is downloaded."""

import os
from pathlib import Path


def roots() -> list[Path]:
    """`FNNET_DATA`, if it is set, and `data/` under the current folder."""
    chosen = os.environ.get("FNNET_DATA")
    return [*([expanded(chosen)] if chosen else []), Path("data")]


def cache() -> Path:
    """fnnet's own folder, in which downloads stay."""
    import pooch  # here, not above: it costs as much as the rest of the package

    return expanded(pooch.os_cache("fnnet"))


def expanded(path: str | Path) -> Path:
    """The path with ~ replaced by the home folder, where there is one."""
    return Path(os.path.expanduser(path))  # Path.expanduser raises where there is no home
