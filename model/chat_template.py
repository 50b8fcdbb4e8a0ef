"""A checkpoint's chat template is a program of its author's: it is run in a process of its own, with an end to its time and memory.

``python -P -m model.chat_template`` reads the template, the special tokens and the conversations as JSON, and writes their texts as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

from datagen.child import module_command
from datagen.errors import UserError

SECONDS = 5  # of processor time; a template that is meant well takes milliseconds
MOST_BYTES = 2**30  # of memory beyond what the process begins with
START_SECONDS = 120  # until it must have begun and ended, on the busiest machine
MOST_CHARACTERS = 100_000  # of a template and of a text: more is neither


def apply_template(template: str, tokens: Mapping[str, Any], conversations: Sequence[Sequence[Mapping[str, str]]]) -> list[str]:
    """The text of each conversation up to the assistant's answer. ``tokens`` are the tokenizer's special ones by name.

    `UserError` if the template fails, or takes more time or memory than a template may.
    """
    if len(template) > MOST_CHARACTERS:
        raise UserError(f"the tokenizer's chat template has {len(template):,} characters; {MOST_CHARACTERS:,} are possible")
    request = json.dumps({"template": template, "tokens": tokens, "conversations": conversations})
    try:
        done = subprocess.run(
            module_command("model.chat_template"),
            input=request,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
            start_new_session=True,  # so that a signal which ends it is none that was sent to its parent as well
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"the tokenizer's chat template does not end within {START_SECONDS} s; a checkpoint with another is needed"
        ) from None
    if done.returncode < 0:
        raise UserError(f"the tokenizer's chat template takes more than {SECONDS} s to apply; a checkpoint with another is needed")
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise UserError(f"the tokenizer's chat template cannot be applied ({done.stderr.strip().splitlines()[-1:]})") from None
    if "error" in answer:
        raise UserError(f"the tokenizer's chat template cannot be applied ({answer['error']})")
    texts: list[str] = answer["texts"]
    return texts


def _limit() -> None:
    """From here on, this process has `SECONDS` and `MOST_BYTES` left."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[0])
    most = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _main() -> None:
    request = json.load(sys.stdin)
    _limit()
    try:
        texts, _ = render_jinja_template(
            request["conversations"], chat_template=request["template"], add_generation_prompt=True, **request["tokens"]
        )
        too_long = max(map(len, texts)) > MOST_CHARACTERS
        answer = {"error": f"its text has more than {MOST_CHARACTERS:,} characters"} if too_long else {"texts": texts}
    except MemoryError:
        answer = {"error": "it takes too much memory"}
    except Exception as error:  # whatever the template's author wrote
        answer = {"error": (str(error) or repr(error)).splitlines()[0][:300]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _main()
