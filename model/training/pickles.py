"""Checks of the pickles in ``.pt`` and ``.pth`` files, which may come from anybody, before torch reads them.

Torch's own reader runs no code, but allocates whatever a pickle requests, and ten bytes can request ten gigabytes. The pickles that a
training saves call a handful of functions, whose arguments are known or can be checked against the file: here, harmless stand-ins are
called in their place, and everything else is refused.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from datagen.errors import UserError

MOST_BYTES = 4_000_000  # of a pickle, whose tensors lie in other files of the archive: enough for the state of 17,000 parameters
_LONGEST_TEXT = 10_000  # of a text; the longest in use, the state of numpy's random numbers, has 2,496 bytes
_SPARE_CALLS = 10  # calls beyond the two for each tensor: for numpy's random state
_ITEM_BYTES = {
    f"torch.{kind}Storage": size
    for size, kinds in {1: "Byte Char Bool", 2: "Half BFloat16 Short", 4: "Float Int", 8: "Double Long ComplexFloat"}.items()
    for kind in kinds.split()
}
_CODES = (
    pickle.PROTO + pickle.STOP + pickle.MARK + pickle.GLOBAL + pickle.REDUCE + pickle.BUILD + pickle.BINPERSID
    + pickle.BINPUT + pickle.LONG_BINPUT + pickle.BINGET + pickle.LONG_BINGET
    + pickle.NONE + pickle.NEWTRUE + pickle.NEWFALSE + pickle.BININT + pickle.BININT1 + pickle.BININT2 + pickle.LONG1 + pickle.BINFLOAT
    + pickle.BINUNICODE + pickle.EMPTY_TUPLE + pickle.TUPLE + pickle.TUPLE1 + pickle.TUPLE2 + pickle.TUPLE3
    + pickle.EMPTY_LIST + pickle.APPEND + pickle.APPENDS + pickle.EMPTY_DICT + pickle.SETITEM + pickle.SETITEMS
)  # fmt: skip
"""The opcodes of pickle's protocol 2 that torch writes."""


def check_pickle(path: Path) -> None:
    """`UserError` unless a file is an archive as torch saves it, whose pickle requests no more memory than the archive's tensors fill."""
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            sizes = {entry.filename: entry.file_size for entry in entries}
            root = entries[0].filename.partition("/")[0] if entries else ""
            content = f"{root}/data.pkl"
            if content not in sizes or len(sizes) < len(entries) or entries[0].header_offset or archive.comment:
                raise UserError("it is not as torch saves such files")
            if any(entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size for entry in entries):
                raise UserError("it is compressed, and torch saves such files as they are")
            if sizes[content] > MOST_BYTES:
                raise UserError(f"its pickle has {sizes[content]:,} bytes; at most {MOST_BYTES:,} are read")
            pickled = archive.read(content)
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise UserError("it is not as torch saves such files") from None
    held = {name.removeprefix(f"{root}/data/"): size for name, size in sizes.items() if name.startswith(f"{root}/data/")}
    try:
        _StandInUnpickler(pickled, held).load()
    except UserError:
        raise
    except Exception:  # no pickle, or one with other functions, arguments or opcodes
        raise UserError("it holds more than numbers, and is not read") from None


class _Storage(NamedTuple):
    """The size of a storage of tensors, whose numbers are not read here."""

    numbers: int


class _Built:
    """Stands in for the array in numpy's random state, or its dtype. ``like`` tests whether a pickled state is one that numpy saves."""

    def __init__(self, like: Callable[[Any], bool]) -> None:
        self._like = like

    def __setstate__(self, state: Any) -> None:
        _require(self._like(state))


class _StandInUnpickler(pickle._Unpickler):
    """Reads a pickle without calling any function that it names: stand-ins check the arguments instead."""

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, pickled: bytes, held: Mapping[str, int]) -> None:
        """``held`` is the size in bytes of each storage in the archive, by name."""
        super().__init__(io.BytesIO(pickled), fix_imports=False)
        self._held = held
        self._calls = 0
        standing_in = {name: self._counted(function) for name, function in _FUNCTIONS.items()}
        self._known = {**_ITEM_BYTES, "numpy.ndarray": "numpy.ndarray", **standing_in}

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a function or type; `KeyError` for one that no training saves."""
        return self._known[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage; `UserError` unless the archive's storage of that name has as many numbers as the pickle states."""
        kind, item_bytes, name, _, numbers = pid
        _require(kind == "storage" and isinstance(numbers, int))
        if numbers * item_bytes != self._held[name]:
            raise UserError(f"it states {numbers:,} numbers where {self._held[name] // item_bytes:,} are")
        return _Storage(numbers)

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self._calls += 1
            _require(self._calls <= 2 * len(self._held) + _SPARE_CALLS)
            return function(*arguments)

        return call

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key], [value])

    def _set_items(self) -> None:
        items = self.pop_mark()
        self._update(items[::2], items[1::2])

    def _update(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        """Add items to the dict on the stack. Keys must be text or small numbers: others can take very long to hash, or share one hash."""
        _require(all(isinstance(key, str) or (isinstance(key, int) and 0 <= key < 2**31) for key in keys))
        self.stack[-1].update(zip(keys, values, strict=True))

    dispatch: ClassVar[dict[int, Any]] = {
        **{code: pickle._Unpickler.dispatch[code] for code in _CODES},
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
    }


def _require(saved: bool) -> None:
    """`ValueError` for content that no training saves."""
    if not saved:
        raise ValueError


def _tensor(storage: _Storage, offset: int, size: Sequence[int], strides: Sequence[int], *others: Any) -> None:
    _require(isinstance(storage, _Storage) and offset >= 0 and len(size) == len(strides) and others == (False, {}))
    if offset + math.prod(size) > storage.numbers:
        raise UserError(f"it states {math.prod(size):,} numbers, more than are there")


def _hooks() -> dict[str, Any]:
    return {}


def _encoded(text: str, encoding: str) -> bytes:
    _require(len(text) <= _LONGEST_TEXT and encoding == "latin1")
    return text.encode(encoding)


def _dtype(name: str, *flags: bool) -> _Built:
    _require(name == "u4" and flags == (False, True))
    return _Built(lambda state: state == (3, "<", None, None, None, -1, -1, 0))


def _array(kind: str, shape: tuple[int, ...], code: bytes) -> _Built:
    _require((kind, shape, code) == ("numpy.ndarray", (0,), b"b"))
    return _Built(lambda state: state[:2] == (1, (624,)) and isinstance(state[2], _Built) and len(state[4]) == 2496)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "collections.OrderedDict": _hooks,
    "_codecs.encode": _encoded,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _array,
    "numpy._core.multiarray._reconstruct": _array,
}
