"""What a mistake is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    target      module:qualified.name
    old, new    a piece of its source, there exactly once, and what a person wrote instead
    wrong       what that gets wrong, in a line
    tests       those that must detect it, each by words of its id, the first being its file
    equivalent  why nothing can detect it: the reason, where it computes the same
    """

    target: str
    old: str
    new: str
    wrong: str
    tests: tuple[str, ...]
    equivalent: str = ""


def mistakes(*entries: tuple) -> tuple[Mistake, ...]:
    """Mistakes from (target without the package's name, old, new, wrong, test, ...) each."""
    return tuple(Mistake(f"fnnet.{entry[0]}", *entry[1:4], tests=entry[4:]) for entry in entries)
