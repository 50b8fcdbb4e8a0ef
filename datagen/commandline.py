"""The command line: verbs as dataclasses, and a parser that reports a mistake in one line, with a suggestion, before any work begins."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields
from functools import partial
from inspect import cleandoc, get_annotations
from itertools import takewhile
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, NoReturn, Union, get_args, get_origin

from datagen.errors import UserError, did_you_mean
from datagen.flags import Flag, FlagsOf, number, whole
from datagen.screen import printable


class Verb:
    """A verb of the command. A subclass is a frozen dataclass with a field, which has a `Flag`, for each option; the first line of its
    docstring is its summary in the list of verbs, the rest is the first paragraph of its help."""

    shared: ClassVar[bool] = False
    """Whether the processes that a launcher starts, such as torchrun, share the work of a call."""

    def run(self) -> int | None:
        """Run the verb and return the exit status (None: 0)."""
        raise NotImplementedError

    @staticmethod
    def epilog() -> str | None:
        """The last paragraph of the help, made only for --help, because its imports may take seconds."""
        return None


def summary(verb: type[Verb]) -> str:
    """The summary of a verb in the list of all verbs."""
    first = cleandoc(verb.__doc__ or "").partition("\n")[0]
    return first[:1].lower() + first[1:].removesuffix(".")


def declared(kind: type) -> Iterator[tuple[str, Flag | FlagsOf, Any, Any]]:
    """The fields of a dataclass that have flags, in order: name, flag, type, and default (`MISSING` if one must be given)."""
    hints = {name: hint for base in reversed(kind.__mro__) for name, hint in get_annotations(base, eval_str=True).items()}
    for field in fields(kind):
        for note in getattr(hints[field.name], "__metadata__", ()):
            if isinstance(note, Flag | FlagsOf):
                yield field.name, note, get_args(hints[field.name])[0], field.default


def given(kind: type, values: argparse.Namespace) -> dict[str, Any]:
    """The values that the command line gives for fields of a dataclass, by name; fields that it does not give keep their defaults."""
    found = {
        name: partial(flag.kind, **given(flag.kind, values)) if isinstance(flag, FlagsOf) else getattr(values, name)
        for name, flag, _, _ in declared(kind)
    }
    return {name: value for name, value in found.items() if value is not None}


class _Help(argparse.RawDescriptionHelpFormatter):
    """A help formatter that leaves a text of several lines as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return super()._fill_text(text, width, indent) if "\n" in text else textwrap.fill(text, width)


class _Once(argparse.Action):
    """The action that stores the value of an option, and refuses an option given twice, of which argparse would silently use the last."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        if option is not None and getattr(namespace, self.dest) is not None:
            every = f", with all its values behind it: {option} A B" if self.nargs == "+" else ""
            raise argparse.ArgumentError(self, f"is given twice; give it once{every}")
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """The parser of the command or of a verb. A verb's flags are added on first use, because importing their declarations takes time."""

    def __init__(self, verb: type[Verb] | None = None, **settings: Any) -> None:
        super().__init__(formatter_class=_Help, **settings)
        self.register("action", None, _Once)
        self._verb, self._filled = verb, False

    def fill(self) -> None:
        """Add the flags of the verb, once."""
        if self._verb is None or self._filled:
            return
        self._filled = True
        self.description = " ".join(cleandoc(self._verb.__doc__ or "").split("\n")[2:])
        _add_flags(self, self._verb)

    def format_help(self) -> str:
        self.fill()
        self.epilog = self._verb.epilog() if self._verb else self.epilog
        return super().format_help()

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As in argparse, except that a verb reports unknown options and words, and unknown options before missing ones."""
        self.fill()
        if self._verb is not None and args is not None:
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


def _add_flags(parser: argparse.ArgumentParser, kind: type, defaults: bool = True) -> None:
    """Add the flags of a dataclass to a parser. A flag that is not given parses as None, because the class has the defaults."""
    one_of: argparse._ActionsContainer | None = None
    for name, flag, hint, default in declared(kind):
        if isinstance(flag, FlagsOf):
            _add_flags(parser, flag.kind, flag.defaults)
            continue
        silent = not defaults or any(default is nothing for nothing in (MISSING, None, False, ())) or "default" in flag.help
        help_text = flag.help if silent else f"{flag.help} (default: {default})"
        words = {"help": help_text, "default": None, **_reading(flag, hint), **flag.more}
        if flag.one_of:
            one_of = one_of or parser.add_mutually_exclusive_group(required=True)
        place = one_of if flag.one_of and one_of else parser
        if flag.word:
            place.add_argument(name, **words)
        else:
            required = defaults and default is MISSING
            place.add_argument(f"--{flag.name or name.replace('_', '-')}", dest=name, required=required, **words)


def _reading(flag: Flag, hint: Any) -> dict[str, Any]:
    """The arguments of `add_argument` that make argparse read a flag whose field has the type `hint`."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(kind for kind in get_args(hint) if kind is not NoneType)
    if hint is bool:
        return {"action": "store_true"}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    return {"metavar": flag.metavar, "type": flag.read or {int: whole, float: number, Path: Path}.get(hint, str)}


def setting(text: str) -> str:
    """The text, which must have the form ``KEY=VALUE``; `UserError` otherwise."""
    key, equals, value = text.partition("=")
    if not (key.strip() and equals and value.strip()):
        raise UserError(f"{text!r} is not KEY=VALUE, such as steps=5000")
    return text


def once_each(assignments: Sequence[str]) -> Sequence[str]:
    """The assignments ``KEY=VALUE`` as they are; `UserError` if two of them have the same key, of which only the last would count."""
    keys = [assignment.partition("=")[0].rpartition(".")[2] for assignment in assignments]
    for key in keys:
        if keys.count(key) > 1:
            raise UserError(f"--set {key}: is given twice; give it once")
    return assignments


def place(text: str) -> str | Path:
    """The place of a data set: a folder, or a URL."""
    from datagen.shards import store

    return store.place(text)


def place_to_write(text: str) -> str | Path:
    """The place of a data set that can be written."""
    from datagen.shards.store import check_place

    where = place(text)
    check_place(where)
    return where


def _of_this_machine(text: str) -> Path:
    """The text as a path; `UserError` for a URL, which would otherwise be used as a path."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise UserError(f"{text}: a place on this machine is expected, and this is a URL")
    return Path(text)


def folder_to_write(text: str) -> Path:
    """The path of a folder that can be written."""
    from datagen.io.files import check_folder  # which imports libraries that --help does not need

    path = _of_this_machine(text)
    check_folder(path)
    return path


def run_to_write(text: str) -> Path:
    """The path of a folder that can be written, in UTF-8, which the libraries that write models need."""
    path = folder_to_write(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{path}: the name is no UTF-8 text, as the libraries that write models need it; name another place") from None
    return path


def samples_to_write(text: str) -> Path:
    """The path of a folder that can be written, and that readers of data sets take for neither a tar nor a URL."""
    from datagen.shards.store import check_place

    check_place(Path(text))
    return Path(text)


def file_to_write(text: str) -> Path:
    """The path of a file that can be written."""
    from datagen.io.files import check_file

    path = _of_this_machine(text)
    check_file(path)
    return path
