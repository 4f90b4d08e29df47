"""One file from the first mirror that has it."""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from fnnet.datasets.data_error import DataError

_TIMEOUT = 30  # seconds without an answer or a byte


def fetch(target: Path, addresses: Sequence[str], check: Callable[[Path], None]) -> Path:
    """Download `target` from the first of the addresses whose file passes `check`; return its path.

    `check` raises `DataError` for a file that is not the one asked for. The file appears in its folder
    whole and checked, or not at all. Raises `DataError` with every address's fault if none had it.
    """
    faults = []
    for address in addresses:
        try:
            return _fetch(address, target, check)
        except (OSError, ValueError) as error:  # what requests raises is an OSError
            faults.append(f"\n  {address}: {getattr(error, 'fault', error)}")
    raise DataError(target, "could not be downloaded:" + "".join(faults))


def _fetch(url: str, target: Path, check: Callable[[Path], None]) -> Path:
    import pooch  # here, not above: importing it costs as much as everything else in this package

    print(f"fnnet: fetching {url} into {target.parent}", file=sys.stderr, flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        part = Path(scratch) / target.name
        pooch.HTTPDownloader(chunk_size=2**16, timeout=_TIMEOUT)(url, str(part), None)
        check(part)
        os.replace(part, target)
    return target
