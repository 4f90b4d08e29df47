"""A progress bar for long work; needs the extra `experiments`."""

from typing import Any


def epochs_bar(caller: str, epochs: int, visible: bool, label: str | None = None) -> Any:
    """A context manager with `set_postfix_str(text, refresh)` and `update(count)`; without `visible` they do nothing.

    Raises ImportError if a bar is to be seen and tqdm is missing.
    """
    if not visible:
        return _NoBar()
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError(
            f"{caller}: the progress bar needs tqdm; pip install 'fnnet[experiments]', or pass progress=False"
        ) from error
    return tqdm(total=epochs, desc=label, unit="epoch", dynamic_ncols=True)


class _NoBar:
    """The same calls, unseen."""

    def __enter__(self) -> "_NoBar":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        pass

    def update(self, count: int = 1) -> None:
        pass
