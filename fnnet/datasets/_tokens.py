"""Text as rows of tokens, one token per character, each with the token that follows it.

    data, vocabulary = fnnet.datasets.characters(fnnet.datasets.text(), context=64)      # pieces of a long text
    data, vocabulary = fnnet.datasets.lines(fnnet.datasets.text("names"))                # one line per row
    vocabulary.encode("To be"), vocabulary.decode(tokens), len(vocabulary)

A text that is held out becomes tokens by the same vocabulary, which has to know its characters too:

    vocabulary = fnnet.datasets.Vocabulary.of(text)
    train, _ = fnnet.datasets.characters(text[:-10_000], context=64, vocabulary=vocabulary)
    validation, _ = fnnet.datasets.characters(text[-10_000:], context=64, vocabulary=vocabulary)

`fnnet.save(..., vocabulary=vocabulary)` saves it with the model.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer

from fnnet._spec import spec, static
from fnnet.protocols import Batch

_NEWLINE = "\n"
_NO_TARGET = -1


@spec
class Vocabulary:
    """The characters that a model knows: token t is the character in place t.

    characters  Unicode code points, sorted, each once; `Vocabulary.of(text)` collects them

    len(vocabulary) is V, the number of tokens: `Embedding(len(vocabulary), features)`.
    """

    characters: str = static()

    def check(self) -> None:
        if not isinstance(self.characters, str):
            raise TypeError(f"Vocabulary: expected characters as one string, got {self.characters!r:.80}")
        if not self.characters or list(self.characters) != sorted({*self.characters}):
            raise ValueError(
                f"Vocabulary: expected one character or more, sorted, each once, got {self.characters!r:.80}; "
                f"Vocabulary.of(text) collects those of a text"
            )
        if any("\ud800" <= character <= "\udfff" for character in self.characters):
            raise ValueError(
                f"Vocabulary: expected characters that UTF-8 has, got lone surrogates in {self.characters!r:.80}; "
                f"read the text with the encoding that it has"
            )

    @staticmethod
    def of(text: str) -> "Vocabulary":
        """The vocabulary of a text: all of its characters, and no others."""
        _check_text("Vocabulary.of", text)
        return Vocabulary("".join(sorted({*text})))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Integer[np.ndarray, " T"]:
        """The (T,) tokens of a text of T characters, read-only; uint8 for up to 256 characters, else int32.

        Raises ValueError for a character that is not in the vocabulary, with its place.
        """
        _check_text("Vocabulary.encode", text)
        known, found = _code_points(self.characters), _code_points(text)
        tokens = np.searchsorted(known, found)
        unknown = np.flatnonzero(known[np.minimum(tokens, len(known) - 1)] != found)
        if unknown.size:
            raise ValueError(_unknown(self, text, int(unknown[0])))
        return _read_only(tokens.astype(_dtype(len(self))))

    def decode(self, tokens: Sequence[int] | np.ndarray | Any) -> str:
        """The text of (T,) tokens, an array of NumPy or JAX or a list.

        Raises ValueError for a token that is not in 0 .. V - 1, with its place, and for other shapes.
        TypeError for what are no integers.
        """
        array = np.asarray(tokens)
        if array.ndim != 1:
            raise ValueError(f"Vocabulary.decode: expected (T,) tokens, got shape {array.shape}; decode row by row")
        if array.size and array.dtype.kind not in "iu":
            raise TypeError(f"Vocabulary.decode: expected integers, got {array.dtype}")
        wrong = np.flatnonzero((array < 0) | (array >= len(self)))
        if wrong.size:
            raise ValueError(
                f"Vocabulary.decode: expected tokens 0 to {len(self) - 1}, got {array[wrong[0]]} in place {wrong[0]}"
                + "; leave the padding of targets out: y[y >= 0]" * bool(array[wrong[0]] == _NO_TARGET)
            )
        return "".join([self.characters[token] for token in array])


def characters(
    text: str, context: int, *, vocabulary: Vocabulary | None = None, stride: int | None = None
) -> tuple[Batch, Vocabulary]:
    """Cut a text into rows of `context` characters, each with the character that follows: the data of a language model.

    text        T characters, at least context + 1; `fnnet.datasets.text` reads them from a file
    context     length of a row
    vocabulary  None: that of the text, `Vocabulary.of(text)`
    stride      from the beginning of a row to that of the next; None: context, so that no two rows overlap; 1: every
                place where a row can begin

    Returns Batch(x=(N, context), y=(N, context)), N = (T - 1 - context) // stride + 1, and the vocabulary:

        x[n, t] = tokens[n stride + t]        y[n, t] = tokens[n stride + t + 1]

    Both are read-only views of one array of T tokens (uint8 for up to 256 characters, else int32): a stride of 1 takes
    no more memory than one of `context`. Every row is full: the last characters, which do not fill another row, are
    left out, fewer than `stride` of them. Rows that do not overlap may be split at random (`fnnet.datasets.split`);
    where they do, a split would have the same characters in both parts: cut the text instead.

    Raises ValueError for a text that is too short, a context or stride below 1, and characters that the vocabulary
    does not have.
    """
    stride = context if stride is None else stride
    _check_text("characters", text)
    _check_count("characters", "context", context)
    _check_count("characters", "stride", stride)
    if len(text) <= context:
        raise ValueError(
            f"characters: expected a text of at least context + 1 = {context + 1} characters, got {len(text)}; "
            f"fnnet.datasets.text(name) reads a file or a published text"
        )
    vocabulary = Vocabulary.of(text) if vocabulary is None else vocabulary
    tokens = vocabulary.encode(text)
    windows = np.lib.stride_tricks.sliding_window_view(tokens, context)
    return Batch(windows[:-1:stride], windows[1::stride]), vocabulary


def lines(text: str, context: int | None = None, *, vocabulary: Vocabulary | None = None) -> tuple[Batch, Vocabulary]:
    """One line per row, such as a name, with the character that follows each of its characters.

    text        lines, separated by newlines; empty ones are left out
    context     length of a row: at least that of the longest line + 1; None: exactly that
    vocabulary  None: that of the text, and the newline

    Returns Batch(x=(N, context), y=(N, context)) of N lines, read-only, and the vocabulary. The newline begins and ends
    a line: after it comes a line's first character, after the last character comes the newline. Rows are padded at the
    end, x with newlines, y with -1, which `SoftmaxCrossEntropy(no_target=-1)` does not count:

        the line    "anna", context 7
        x           \\n  a  n  n  a  \\n \\n
        y           a   n  n  a  \\n -1 -1

    x is uint8 for up to 256 characters, else int32; y is int32.

    Raises ValueError for a text without lines, for a line that is too long for the context (shorten it, none is cut),
    and for characters that the vocabulary does not have, the newline included.
    """
    _check_text("lines", text)
    rows = [line for line in text.split(_NEWLINE) if line]
    if not rows:
        raise ValueError("lines: expected a text with a line that is not empty, got none")
    longest = max(rows, key=len)
    context = len(longest) + 1 if context is None else context
    _check_count("lines", "context", context)
    if len(longest) >= context:
        raise ValueError(
            f"lines: expected lines of at most context - 1 = {context - 1} characters, got {longest!r:.60} of "
            f"{len(longest)}; make the context {len(longest) + 1}, or shorten the line"
        )
    vocabulary = Vocabulary.of(text + _NEWLINE) if vocabulary is None else vocabulary
    vocabulary.encode(text)  # here an unknown character has the place that it has in the text
    newline = vocabulary.encode(_NEWLINE)[0]
    tokens = vocabulary.encode(_NEWLINE + _NEWLINE.join(rows) + _NEWLINE)
    inside = np.arange(context) <= np.array([*map(len, rows)])[:, None]
    x, y = np.full(inside.shape, newline), np.full(inside.shape, _NO_TARGET, np.int32)
    x[inside], y[inside] = tokens[:-1], tokens[1:]
    return Batch(_read_only(x), _read_only(y)), vocabulary


def _unknown(vocabulary: Vocabulary, text: str, place: int) -> str:
    """What to say of the first character that is not in the vocabulary."""
    character, line = text[place], 1 + text.count(_NEWLINE, 0, place)
    return (
        f"Vocabulary.encode: {character!r} (U+{ord(character):04X}) in place {place} (line {line}) is not among the "
        f"{len(vocabulary)} characters {vocabulary.characters!r:.80}; replace it, or make the vocabulary of all texts: "
        f"Vocabulary.of(train + validation)"
    )


def _check_text(caller: str, text: Any) -> None:
    if not isinstance(text, str):
        raise TypeError(
            f"{caller}: expected a text as one string, got {type(text).__name__}; "
            f"fnnet.datasets.text(path) reads a file"
        )


def _check_count(caller: str, name: str, count: Any) -> None:
    if isinstance(count, bool) or not isinstance(count, int | np.integer):
        raise TypeError(f"{caller}: expected {name} to be an integer, got {count!r:.40}")
    if count < 1:
        raise ValueError(f"{caller}: expected {name} to be 1 or more, got {count}")


def _code_points(text: str) -> np.ndarray:
    """(T,) numbers of the characters in Unicode, ascending as Python sorts the characters."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _dtype(size: int) -> type:
    """The dtype of tokens 0 .. size - 1."""
    return np.uint8 if size <= 256 else np.int32


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
