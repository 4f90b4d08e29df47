"""The error of every loader: which file, and what is wrong with it."""

import os


class DataError(ValueError):
    """A data file is missing, damaged or not what it should be.

    file   the file, as a string
    fault  what is wrong with it; `str(error)` is "file: fault"
    """

    def __init__(self, file: str | os.PathLike[str], fault: str):
        super().__init__(os.fspath(file), fault)  # as args, so that the error survives pickling
        self.file = os.fspath(file)
        self.fault = fault

    def __str__(self) -> str:
        return f"{self.file}: {self.fault}"
