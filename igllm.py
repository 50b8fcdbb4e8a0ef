"""The ``igllm`` command: find the verb, run it, and print one message if an error or a signal ends it."""

from __future__ import annotations

import os
import sys

from datagen.io.leaving import LeaveRequest, flush_output, heed_while_loading, heeded

if __name__ == "__main__" or os.path.basename(sys.argv[0]) == "igllm":  # else another program imports this module
    heed_while_loading(" ".join(["igllm", *sys.argv[1:2]]))

import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

# A verb imports what it needs when it runs, so that --help answers at once.
from datagen.commandline import Parser, Verb, given, summary
from datagen.errors import PartlyDone, UserError
from datagen.images.limits import allow_pixels
from datagen.io.cache import lend_home
from datagen.io.temporary import own_temporaries
from datagen.screen import in_bounds, plain_output, printable

if TYPE_CHECKING:
    from model.processes import Launch

BUG = 70  # exit status for an error of igllm's own
NO_READER = 141  # exit status if the reader of the output has gone: 128 + SIGPIPE, as shells report it
EPILOG = """\
the whole loop:
  igllm generate --num 1000 --seed 1 --out data/train
  igllm generate --num 100 --seed 2 --out data/val
  igllm train --preset tiny --data data/train --val data/val --out runs/tiny
  igllm roundtrip --model runs/tiny --data data/val --out reports/tiny

Every verb can be interrupted and called again: it goes on where it stopped. Bad input ends with status 2 and one message.
Status 70 is an error of igllm's own; IGLLM_TRACEBACK=1 shows where it came about.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with plain_output(), heeded(" ".join(["igllm", *words[:1]])) as request:
        lend_home()
        launch = _launch(words)
        status, message = _ended(words, launch, request)
        if message and launch.tells(request.signal):
            with suppress(OSError):  # standard error may be closed, as after the end of a terminal
                print(in_bounds(message), file=sys.stderr, flush=True)
        return status


def _launch(words: Sequence[str]) -> Launch:
    """The place of this process among those that a launcher has started, for a verb whose work they share."""
    from model.processes import Launch, launched

    launch = launched()
    return launch if launch.count > 1 and words and words[0] in (verbs := _verbs()) and verbs[words[0]].shared else Launch()


def _ended(words: Sequence[str], launch: Launch, request: LeaveRequest) -> tuple[int, str]:
    """Run one verb; the exit status, and the message about an error or a signal that ended it, empty if there is nothing to say."""
    try:
        with launch.quiet():
            status = _run(words)
        return (status, "") if request.signal is None else (request.status, request.message)  # a library may swallow the interrupt
    except BaseException as error:
        if isinstance(error, RuntimeError):
            request.wait()
        if request.signal is not None:  # a library may have turned the KeyboardInterrupt into another error
            return request.status, request.message
        return _end(request, error)


def _run(words: Sequence[str]) -> int:
    """Run one verb, flush its output, and return the exit status."""
    try:
        options = _parser().parse_args(words)
        kind = _verbs()[options.verb]
        verb = kind(**given(kind, options))
        if (pixels := getattr(verb, "max_pixels", None)) is not None:
            allow_pixels(pixels)
        with own_temporaries():
            return verb.run() or 0
    finally:
        flush_output()


def _end(request: LeaveRequest, error: BaseException) -> tuple[int, str]:
    """The exit status and the message for the error that ended a verb.

    SystemExit, by which --help ends, is raised again, and so is an error of igllm's own if IGLLM_TRACEBACK is set. The panic of a Rust
    library, which is no `Exception`, gets a message, too.
    """
    if isinstance(error, UserError):
        return 1 if isinstance(error, PartlyDone) else 2, f"{request.name}: {error}"
    if isinstance(error, KeyboardInterrupt):  # outside the main thread, where signals have no handlers
        return request.status, request.message
    if isinstance(error, BrokenPipeError):
        return NO_READER, ""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return 2, printable(f"{request.name}: {where}{error.strerror or error}")
    if isinstance(error, SystemExit) or os.environ.get("IGLLM_TRACEBACK"):
        raise error
    return BUG, printable(f"{request.name}: {_reported(error)}")


def _reported(error: BaseException) -> str:
    """Save the traceback of an error of igllm's own in a file, and return the message of one line."""
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="igllm-error-", suffix=".txt", errors="backslashreplace", delete=False) as file:
            file.write(text)
        more = f"please report it with the file {file.name}"
    except OSError:  # no temporary file can be written
        more = "IGLLM_TRACEBACK=1 shows where it came about"
    message = str(error).partition("\n")[0]
    return f"an error of igllm's own, {type(error).__name__}: {message}; {more}"


def _parser() -> Parser:
    parser = Parser(
        prog="igllm",
        description="Inverse graphics with language models: images to graphics code, and back through Blender.",
        epilog=EPILOG,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, verb in _verbs().items():
        verbs.add_parser(name, help=summary(verb), verb=verb)
    return parser


def _verbs() -> dict[str, type[Verb]]:
    """The verbs by name, in the order of the help."""
    from datagen.verbs import Doctor, Export, Generate, Import, Inspect, Merge, Verify
    from model.verbs import Align, Calibrate, Predict, Pretrain
    from render.refine.verb import Refine
    from render.studio.verb import Studio
    from render.verbs import Compare, Demo, Eval, Render, Roundtrip, Train

    data, models = (Generate, Verify, Merge, Inspect, Export, Import), (Pretrain, Align, Train, Calibrate, Predict)
    renders = (Refine, Render, Compare, Roundtrip, Studio, Eval, Demo)
    return {verb.__name__.lower(): verb for verb in (*data, *models, *renders, Doctor)}


if __name__ == "__main__":
    sys.exit(main())
