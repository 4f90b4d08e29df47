"""The command line of every script: the settings that many have, and how a run from the shell ends."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

import fnnet

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the number of the signal."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of a script that writes a run folder."""

    runs: Path = Path("runs")
    """Where the run's folder is made."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeptSettings(RunSettings):
    """Settings of a script whose results can be kept in the project."""

    copy_to: Path | None = None
    """A folder that also gets the results and the figures, such as experiments/results."""
    timed: bool = True
    """Record how long the run took. --no-timed where other programs share the machine: the time recorded earlier for
    the same command is kept, if there is one."""


NOT_SETTINGS = ("runs", "copy_to", "timed", "progress")
"""Fields that say where to write and what to show."""


def run(main: Callable[[Any], Any], config: type, description: str | None) -> None:
    """Call main with the settings of the command line; wrong data ends it with one line, Ctrl-C with exit code 130."""
    try:
        main(tyro.cli(config, description=description))
    except fnnet.DataError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        print("interrupted")
        raise SystemExit(INTERRUPTED) from None


def check_counts(config: Any, *names: str) -> None:
    """Exit with one line that says what to write, unless each of these settings is 1 or more, or not given (None)."""
    for name in names:
        if (count := getattr(config, name)) is not None and count < 1:
            raise SystemExit(f"--{name.replace('_', '-')}: expected a number of 1 or more, got {count}")


def check_multiple(config: Any, name: str) -> None:
    """Exit with one line, unless this setting is a multiple of `report_every`, both 1 or more."""
    check_counts(config, name, "report_every")
    if getattr(config, name) % config.report_every:
        raise SystemExit(
            f"--{name}: expected a multiple of --report-every, got {getattr(config, name)} and {config.report_every}"
        )


def command_of(module: str, config: Any) -> str:
    """`python -m experiments.xor --seeds 20`: the settings that are not the defaults, as a reader types them."""
    return " ".join(["python -m", f"experiments.{module}", *_options(config, {})])


def _options(config: Any, defaults: dict[str, Any], prefix: str = "--") -> list[str]:
    """What a reader types for these settings; those of settings inside settings begin with `--network.`, say."""
    words: list[str] = []
    for field in dataclasses.fields(config):
        factory = field.default_factory
        default = defaults.get(field.name, field.default if factory is dataclasses.MISSING else factory())
        value, flag = getattr(config, field.name), field.name.replace("_", "-")
        if field.name in NOT_SETTINGS or value == default:
            continue
        if dataclasses.is_dataclass(value):
            words += _options(value, dict(vars(default)), f"{prefix}{flag}.")
        elif isinstance(value, bool):
            words.append(f"{prefix}{flag}" if value else f"{prefix}no-{flag}")
        else:
            words += [f"{prefix}{flag}", *map(str, value if isinstance(value, tuple) else (value,))]
    return words
