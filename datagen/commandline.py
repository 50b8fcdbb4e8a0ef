"""The command line's parser: one message for what is wrong, with what was meant, before any work begins."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

from datagen.errors import UserError, did_you_mean
from datagen.io.files import check_file, check_folder
from datagen.screen import printable


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Tells defaults where there are any and the help does not tell them itself."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        told = action.default is None or action.default is False or action.default == [] or "default" in (action.help or "")
        return action.help if told else super()._get_help_string(action)


class _Once(argparse.Action):
    """Keeps the value of an option, and refuses another one, where argparse itself takes the last without a word."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        given = vars(namespace).setdefault("given", set())  # which is of this command line alone: a parser may read many
        if option is not None and self.dest in given:
            every = f", with all its values behind it: {option} A B" if self.nargs == "+" else ""
            raise argparse.ArgumentError(self, f"is given twice; give it once{every}")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """The parser of the command or of a verb. ``late_epilog`` makes the end of its help when that is asked for: what it imports may take
    seconds."""

    late_epilog: Callable[[], str] | None = None

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.register("action", None, _Once)

    def format_help(self) -> str:
        if self.late_epilog is not None:
            self.epilog = self.late_epilog()
        return super().format_help()

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse does it, but that a verb refuses what it does not know, and this before it misses anything else."""
        if self._subparsers is None and args is not None:
            for option in takewhile(lambda word: word != "--", args):
                self._check_option(option.partition("=")[0])
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"there is no option {unknown[0]}" if unknown[0].startswith("-") else f"{unknown[0]!r} is one word too many")
        return found, unknown

    def _check_option(self, name: str) -> None:
        known = [option for option in self._option_string_actions if option.startswith("--")]
        if name.startswith("--") and not any(option.startswith(name) for option in known):
            self.error(f"there is no option {name}{did_you_mean(name, known)}")

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line."""
        self.exit(2, f"{self.prog}: {printable(message.removeprefix('argument '))} (`{self.prog} --help` tells more)\n")

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        if not arg_string.strip() and action.nargs != argparse.PARSER:
            raise argparse.ArgumentError(action, "an empty value; if a script's variable stands there, it is not set")
        try:
            return super()._get_value(action, arg_string)
        except UserError as error:
            raise UserError(f"{'/'.join(action.option_strings)}: {error}" if action.option_strings else str(error)) from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            raise argparse.ArgumentError(action, f"{value!r} is none of {', '.join(known)}{did_you_mean(str(value), known)}")


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def positive(text: str) -> int:
    """A whole number above 0."""
    value = whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def number(text: str) -> float:
    """A number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def words(text: str) -> tuple[str, ...]:
    """Words, separated by commas."""
    found = tuple(word.strip() for word in text.split(","))
    if not all(found):
        raise argparse.ArgumentTypeError(f"{text!r}: there is nothing before or after a comma")
    return found


def integers(text: str) -> tuple[int, ...]:
    """Whole numbers, separated by commas."""
    return tuple(map(whole, words(text)))


def setting(text: str) -> str:
    """``KEY=VALUE``."""
    key, equals, value = text.partition("=")
    if not (key.strip() and equals and value.strip()):
        raise UserError(f"{text!r} is not KEY=VALUE, such as steps=5000")
    return text


def _of_this_machine(text: str) -> Path:
    """A path; `UserError` for a URL, which would be taken for one."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise UserError(f"{text}: a place on this machine is expected, and this is a URL")
    return Path(text)


def folder_to_write(text: str) -> Path:
    """The path of a folder that can be written."""
    path = _of_this_machine(text)
    check_folder(path)
    return path


def run_to_write(text: str) -> Path:
    """The path of a folder that can be written, with a name that the libraries take which write models."""
    path = folder_to_write(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{path}: the name is no UTF-8 text, as the libraries that write models need it; name another place") from None
    return path


def samples_to_write(text: str) -> Path:
    """The path of a folder that can be written, and that readers of samples know for one."""
    from datagen.shards.store import check_place

    check_place(Path(text))
    return Path(text)


def file_to_write(text: str) -> Path:
    """The path of a file that can be written."""
    path = _of_this_machine(text)
    check_file(path)
    return path
