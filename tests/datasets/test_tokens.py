"""Tokens of text: round trips, every window in its place, and errors that name the character."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fnnet import datasets
from fnnet.datasets import Vocabulary, characters, lines
from tests.datasets.loading import assert_read_only

ODD = "\0\t\n\x85\u00e9\u00df\u2028\ufeff\uffff\N{SNOWMAN}\N{GRINNING FACE}\U0010ffff"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)


def dtype_of(size):
    return np.uint8 if size <= 256 else np.int32


def many(size):
    """A text of `size` different characters, without a newline."""
    return "".join(map(chr, range(0x100, 0x100 + size)))


# --- the vocabulary ---


@given(TEXTS)
@example(ODD)
@example(many(300))
@settings(deadline=None)
def test_a_text_comes_back_from_its_tokens(text):
    vocabulary = Vocabulary.of(text)
    tokens = vocabulary.encode(text)
    assert tokens.tolist() == [vocabulary.characters.index(character) for character in text]
    for given_tokens in (tokens, tokens.tolist(), jnp.asarray(tokens)):
        assert vocabulary.decode(given_tokens) == text
    assert (len(vocabulary), {*vocabulary.characters}) == (len({*text}), {*text})


def test_a_vocabulary_is_a_value():
    assert Vocabulary.of("banana") == Vocabulary("abn")
    assert hash(Vocabulary.of("banana")) == hash(Vocabulary("abn"))
    assert Vocabulary("abn") != Vocabulary("ab")
    assert repr(Vocabulary("ab")) == "Vocabulary(characters='ab')"


@pytest.mark.parametrize("size", [1, 255, 256, 257])
def test_tokens_take_a_byte_where_they_fit(size):
    vocabulary = Vocabulary(many(size))
    tokens = vocabulary.encode(many(size))
    assert tokens.dtype == dtype_of(size)
    np.testing.assert_array_equal(tokens, np.arange(size))
    assert not tokens.flags.writeable


def test_nothing_is_encoded_as_nothing():
    tokens = Vocabulary("ab").encode("")
    assert (tokens.shape, tokens.dtype) == ((0,), np.uint8)
    assert Vocabulary("ab").decode(tokens) == Vocabulary("ab").decode([]) == ""


@pytest.mark.parametrize("unknown", ["\0", "c", "e", "\u00e9", "\N{GRINNING FACE}", "\ud800"])
def test_an_unknown_character_is_named_with_its_place(unknown):
    expected = f"Vocabulary.encode: {unknown!r} (U+{ord(unknown):04X}) in place 5 (line 3) is not among the 3 "
    with pytest.raises(ValueError, match="make the vocabulary of all texts") as caught:
        Vocabulary("\nbd").encode(f"bd\nb\n{unknown}{unknown}b")
    assert str(caught.value).startswith(expected)


def test_an_unknown_character_is_named_however_far_it_is():
    with pytest.raises(ValueError, match=r"'c' \(U\+0063\) in place 4001 \(line 2001\)"):
        Vocabulary("\nb").encode("b\n" * 2000 + "bc")


@pytest.mark.parametrize(
    ("tokens", "fault"),
    [
        ([0, 1, 3, -1], r"expected tokens 0 to 2, got 3 in place 2$"),
        (np.array([0, -1, 9]), r"got -1 in place 1; leave the padding of targets out: y\[y >= 0\]$"),
        (np.array([0, -2]), r"got -2 in place 1$"),
        ([[0, 1]], r"expected \(T,\) tokens, got shape \(1, 2\); decode row by row"),
        (1, r"expected \(T,\) tokens, got shape \(\)"),
    ],
)
def test_tokens_outside_the_vocabulary_are_refused(tokens, fault):
    with pytest.raises(ValueError, match=fault):
        Vocabulary("abc").decode(tokens)


@pytest.mark.parametrize("tokens", [[0.0], [True], ["a"]])
def test_what_is_no_token_is_refused(tokens):
    with pytest.raises(TypeError, match=r"Vocabulary.decode: expected integers, got"):
        Vocabulary("abc").decode(tokens)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("wrong", ["", "ba", "aa", "aab"])
def test_characters_of_a_vocabulary_are_sorted_and_distinct(wrong):
    with pytest.raises(ValueError, match=r"sorted, each once, got .*Vocabulary.of\(text\) collects"):
        Vocabulary(wrong)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("wrong", ["\ud800", "a\udfff"])
def test_halves_of_characters_are_refused(wrong):
    with pytest.raises(ValueError, match="lone surrogates"):
        Vocabulary.of(wrong)


@pytest.mark.usefixtures("untyped")
def test_characters_of_a_vocabulary_are_one_string():
    with pytest.raises(TypeError, match=r"expected characters as one string, got \('a', 'b'\)"):
        Vocabulary(["a", "b"])  # pyright: ignore[reportArgumentType]


# --- windows of a text ---


@given(TEXTS.filter(lambda text: len(text) > 1), st.data())
@settings(deadline=None)
def test_every_window_is_followed_by_the_next_character(text, data):
    context = data.draw(st.integers(1, len(text) - 1))
    stride = data.draw(st.none() | st.integers(1, len(text) + 2))
    (x, y, weights), vocabulary = characters(text, context, stride=stride)
    step = stride or context
    starts = [start for start in range(0, len(text), step) if start + context < len(text)]
    assert [vocabulary.decode(row) for row in x] == [text[start : start + context] for start in starts]
    assert [vocabulary.decode(row) for row in y] == [text[start + 1 : start + 1 + context] for start in starts]
    assert x.shape == y.shape == ((len(text) - 1 - context) // step + 1, context)
    assert len(text) - (starts[-1] + context + 1) < step
    assert weights is None
    assert vocabulary == Vocabulary.of(text)


def test_windows_are_read_only_views_of_the_tokens():
    data, _ = characters(many(20) * 50, 64, stride=1)
    assert_read_only(data)
    assert np.shares_memory(data.x, data.y)
    assert data.x.strides == data.y.strides == (1, 1)
    assert len(data.x) == 1000 - 64
    whole, _ = characters(many(20) * 50, 64)
    assert whole.x.flags.c_contiguous


@pytest.mark.parametrize("size", [256, 257])
def test_windows_have_the_dtype_of_tokens(size):
    data, _ = characters(many(size), 5)
    assert data.x.dtype == data.y.dtype == dtype_of(size)


def test_a_held_out_text_has_the_tokens_of_the_vocabulary_given():
    _, vocabulary = characters("abcd", 2)
    data, same = characters("dbdb", 2, vocabulary=vocabulary)
    assert data.x.tolist() == [[3, 1]]
    assert data.y.tolist() == [[1, 3]]
    assert same is vocabulary
    with pytest.raises(ValueError, match=r"Vocabulary.encode: 'e' \(U\+0065\) in place 1"):
        characters("dead", 2, vocabulary=vocabulary)


@pytest.mark.parametrize("text", ["", "a", "abc"])
def test_a_text_shorter_than_a_row_and_its_last_target_is_refused(text):
    with pytest.raises(
        ValueError, match=rf"at least context \+ 1 = 4 characters, got {len(text)}; fnnet.datasets.text"
    ):
        characters(text, 3)
    assert characters("abcd", 3)[0].x.shape == (1, 3)


@pytest.mark.parametrize("wrong", [0, -1])
def test_a_length_below_1_is_refused(wrong):
    with pytest.raises(ValueError, match=f"characters: expected context to be 1 or more, got {wrong}"):
        characters("abc", wrong)
    with pytest.raises(ValueError, match=f"characters: expected stride to be 1 or more, got {wrong}"):
        characters("abc", 1, stride=wrong)
    with pytest.raises(ValueError, match=f"lines: expected context to be 1 or more, got {wrong}"):
        lines("abc", wrong)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("wrong", [1.0, True, "1"])
def test_a_length_that_is_no_integer_is_refused(wrong):
    with pytest.raises(TypeError, match=f"characters: expected context to be an integer, got {wrong!r}"):
        characters("abc", wrong)
    with pytest.raises(TypeError, match=f"characters: expected stride to be an integer, got {wrong!r}"):
        characters("abc", 1, stride=wrong)
    with pytest.raises(TypeError, match=f"lines: expected context to be an integer, got {wrong!r}"):
        lines("abc", wrong)


@pytest.mark.usefixtures("untyped")
def test_a_length_may_be_numpys():
    assert characters("abc", np.int64(2))[0].x.tolist() == [[0, 1]]  # pyright: ignore[reportArgumentType]


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("wrong", [b"abc", ["a", "b"], None])
def test_a_text_is_one_string(wrong):
    for function in (Vocabulary.of, Vocabulary("ab").encode, lambda text: characters(text, 1), lines):
        with pytest.raises(TypeError, match=r"expected a text as one string, got .*fnnet.datasets.text\(path\)"):
            function(wrong)


# --- lines of a text ---


def test_a_line_begins_and_ends_with_the_newline():
    (x, y, weights), vocabulary = lines("anna\nbo\n", 7)
    assert vocabulary == Vocabulary("\nabno")
    assert x.tolist() == [[0, 1, 3, 3, 1, 0, 0], [0, 2, 4, 0, 0, 0, 0]]
    assert y.tolist() == [[1, 3, 3, 1, 0, -1, -1], [2, 4, 0, -1, -1, -1, -1]]
    assert (x.dtype, y.dtype, weights) == (np.uint8, np.int32, None)
    assert_read_only((x, y))


NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=9), min_size=1)


@given(NAMES.filter(any), st.integers(0, 3), st.booleans())
@settings(deadline=None)
def test_every_line_is_a_row(names, more, ends):
    longest = max(map(len, names)) + 1
    text = "\n".join(names) + "\n" * ends
    (x, y, _), vocabulary = lines(text, longest + more if more else None)
    kept = [name for name in names if name]
    assert x.shape == y.shape == (len(kept), longest + more)
    for name, inputs, targets in zip(kept, x, y, strict=True):
        assert vocabulary.decode(inputs) == ("\n" + name).ljust(longest + more, "\n")
        assert vocabulary.decode(targets[targets >= 0]) == name + "\n"
        assert (targets[: len(name) + 1] >= 0).all()
        assert (targets[len(name) + 1 :] == -1).all()


def test_the_newline_need_not_be_the_first_token():
    (x, y, _), vocabulary = lines("\tb\nb")
    assert vocabulary == Vocabulary("\t\nb")
    assert x.tolist() == [[1, 0, 2], [1, 2, 1]]
    assert y.tolist() == [[0, 2, 1], [2, 1, -1]]


@pytest.mark.parametrize("size", [255, 256, 1100])
def test_inputs_of_lines_have_the_dtype_of_tokens(size):
    data, vocabulary = lines(many(size))
    assert data.x.dtype == dtype_of(len(vocabulary))
    assert data.y.dtype == np.int32
    assert data.x.tolist() == [[*range(size + 1)]]
    assert data.y.tolist() == [[*range(1, size + 1), 0]]


def test_held_out_lines_have_the_tokens_of_the_vocabulary_given():
    train, vocabulary = lines("anna\nbo")
    data, same = lines("oba\n", train.x.shape[1], vocabulary=vocabulary)
    assert data.x.tolist() == [[0, 4, 2, 1, 0]]
    assert data.y.tolist() == [[4, 2, 1, 0, -1]]
    assert same is vocabulary
    with pytest.raises(ValueError, match=r"Vocabulary.encode: 'e' \(U\+0065\) in place 3 \(line 3\)"):
        lines("\n\nbe", vocabulary=vocabulary)
    with pytest.raises(ValueError, match=r"Vocabulary.encode: '\\n' \(U\+000A\)"):
        lines("ab", vocabulary=Vocabulary("ab"))


@pytest.mark.parametrize("text", ["", "\n", "\n\n\n"])
def test_a_text_without_lines_is_refused(text):
    with pytest.raises(ValueError, match="lines: expected a text with a line that is not empty, got none"):
        lines(text)


def test_a_line_that_is_too_long_is_named_and_not_cut():
    fault = r"at most context - 1 = 3 characters, got 'annabel' of 7; make the context 8, or shorten the line"
    with pytest.raises(ValueError, match=fault):
        lines("bo\nanna\nannabel", 4)
    assert lines("bob", 4)[0].x.shape == (1, 4)


@pytest.mark.parametrize("kind", ["lines", "characters"])
def test_rows_of_tokens_are_split_as_other_rows_are(kind):
    text = "anna\nbo\ncarl\ndora\neve"
    data, _ = lines(text) if kind == "lines" else characters(text, 4)
    parts = datasets.split(data, test_fraction=0.4, seed=0)
    rows = [(x.tobytes(), y.tobytes()) for part in parts for x, y in zip(part.x, part.y, strict=True)]
    assert sorted(rows) == sorted((x.tobytes(), y.tobytes()) for x, y in zip(data.x, data.y, strict=True))
    assert [len(part.x) for part in parts] == [3, 2]
    for part in parts:
        assert (part.x.dtype, part.y.dtype) == (data.x.dtype, data.y.dtype)
        assert_read_only(part)
