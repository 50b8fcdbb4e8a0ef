"""Crafted binary files: false values in headers under correct checksums, so that readers get past their first check."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence

from declared import among
from faults import PAYLOADS, PLACES
from guard import CANARY
from hypothesis import strategies as st

SIZES = (
    0,
    1,
    2,
    511,
    512,
    513,
    2**16,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**33,
    2**40,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -1,
    -512,
    -(2**31),
    -(2**63),
)


# Tars


def octal(number: int) -> bytes:
    """A number as in a tar header: octal, or base 256 if it is negative or too large for that."""
    if 0 <= number < 8**11:
        return b"%011o\0" % number
    return (number & (2**96 - 1) | (1 << 95) if number >= 0 else number & (2**96 - 1)).to_bytes(12, "big")


def tar_header(name: bytes, size: bytes, sort: bytes = b"0", **fields: bytes) -> bytes:
    """A header block with its checksum. ``sort`` is the type flag; ``fields`` are linkname, prefix, magic, mode, major and minor."""
    block = bytearray(512)
    places = {"mode": (100, 8), "linkname": (157, 100), "magic": (257, 8), "major": (329, 8), "minor": (337, 8), "prefix": (345, 155)}
    given = {"mode": b"0000644\0", "magic": b"ustar\x0000", **fields}
    block[: len(name[:100])] = name[:100]
    block[124:136] = size[:12].ljust(12, b"\0")
    block[136:148] = b"%011o\0" % 0
    block[156:157] = sort
    for field, data in given.items():
        start, length = places[field]
        block[start : start + length] = data[:length].ljust(length, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    """Data with zeros up to the end of a block."""
    return data + b"\0" * (-len(data) % 512)


def member(name: str, data: bytes) -> bytes:
    """A plain file in a tar."""
    return tar_header(name.encode("utf-8", "surrogateescape"), octal(len(data))) + padded(data)


def pax(records: Mapping[bytes, bytes], sort: bytes = b"x", size: bytes | None = None) -> bytes:
    """A pax header of ``records``; ``size`` replaces its true size."""
    data = b""
    for key, value in records.items():
        body = b" " + key + b"=" + value + b"\n"
        length = len(body) + len(str(len(body) + 3))
        data += str(length).encode() + body
    return tar_header(b"././@PaxHeader", octal(len(data)) if size is None else size, sort) + padded(data)


def long_names(names: Sequence[bytes], sort: bytes = b"L") -> bytes:
    """A chain of GNU headers that each hold only the long name (with ``K``, the link) of the next."""
    return b"".join(tar_header(b"././@LongLink", octal(len(name) + 1), sort) + padded(name + b"\0") for name in names)


_ENDS = b"\0" * 1024
_NUMBERS = st.one_of(
    st.sampled_from(SIZES).map(octal),
    st.sampled_from(
        [b"", b" " * 12, b"77777777777\0", b"99999999999\0", b"-0000000001\0", b"0x10\0", b"\xff" * 12, b"\x80" + b"\xff" * 11, b"1e9\0"]
    ),
    st.binary(max_size=12),
)
_NAMES = st.sampled_from(
    [
        *(place.encode() for place in PLACES),
        *(
            b"000000000.png",
            b"000000000.json",
            b"000000000.py",
            b"000000001.json",
            b".hidden.json",
            b"a/b/c.json",
            b"x",
            b"",
            b"\xff\xfe.json",
        ),
        *(b"x" * 100, b"\x1b[2J.json", b"a\nb.json", b"x.depth.npy", "\u202ex.json".encode(), b"000000000.JSON", b"000000000.png.png"),
    ]
)


def crafted_members(files: Mapping[str, bytes]) -> st.SearchStrategy[bytes]:
    """One member of a tar of samples: one of the valid ``files``, or one with a false header, a chain of headers, or noise."""
    honest = among([member(*item) for item in files.items()])
    some = among([*files.values(), b"", b"x" * 700])
    name = st.one_of(st.sampled_from([key.encode() for key in files]), _NAMES)
    sorts = st.sampled_from([bytes([byte]) for byte in b"01234567gxLKSDVMNX\0"])
    lying = st.builds(lambda name, size, sort, data: tar_header(name, size, sort) + padded(data), name, _NUMBERS, sorts, some)
    link = st.builds(lambda name, to, sort: tar_header(name, octal(0), sort, linkname=to), name, _NAMES, st.sampled_from([b"1", b"2"]))
    magic = st.builds(
        lambda name, data, magic, prefix: tar_header(name, octal(len(data)), magic=magic, prefix=prefix) + padded(data),
        *(name, some, st.sampled_from([b"ustar  \0", b"\0" * 8, b"ustar\0  ", b"USTAR\x0000"]), _NAMES),
    )
    keys = [
        b"path",
        b"linkpath",
        b"size",
        b"mtime",
        b"GNU.sparse.map",
        b"GNU.sparse.major",
        b"GNU.sparse.size",
        b"GNU.sparse.realsize",
        b"hdrcharset",
    ]
    values = st.one_of(_NAMES, st.sampled_from([b"-1", b"1e400", b"9" * 4000, b"nan", b"0,10,0,10", b"1", b"", b"\xff\xfe"]))
    records = st.dictionaries(st.sampled_from([*keys, b"GNU.sparse.minor", b"GNU.sparse.name", b"x"]), values, max_size=4)
    extended = st.builds(
        lambda records, sort, size, name, data: pax(records, sort, size) + member(name.decode(errors="surrogateescape"), data),
        *(records, st.sampled_from([b"x", b"g"]), st.one_of(st.none(), st.none(), _NUMBERS), name, some),
    )
    chain = st.builds(
        lambda names, times, sort, data: long_names(names * times, sort) + member("000000000.json", data),
        *(st.lists(_NAMES, min_size=1, max_size=3), st.sampled_from([1, 1, 3, 50, 1500]), st.sampled_from([b"L", b"K"]), some),
    )
    noise = st.builds(padded, st.binary(min_size=1, max_size=600))
    return st.one_of(honest, honest, honest, lying, link, magic, extended, chain, noise)


def tars(files: Mapping[str, bytes]) -> st.SearchStrategy[bytes]:
    """Tars of valid files with up to three crafted members among them, and a correct or a damaged end."""
    parts = [member(name, data) for name, data in files.items()]
    end = st.sampled_from([_ENDS, _ENDS, b"", b"\0" * 512, b"\0" * 10240, b"\0" * 300])
    return st.builds(
        lambda before, members, end: b"".join([*parts[:before], *members, *(parts[before:] if before % 2 else ())]) + end,
        *(st.integers(0, len(parts)), st.lists(crafted_members(files), max_size=3), end),
    )


# Safetensors, arrays, zips, pickles


def safetensors(header: bytes, data: bytes, length: int | None = None) -> bytes:
    """A safetensors file of that header; ``length`` replaces the header's true length."""
    return struct.pack("<Q", (len(header) if length is None else length) & (2**64 - 1)) + header + data


def npy(header: bytes, data: bytes, version: bytes = b"\1\0", length: int | None = None) -> bytes:
    """A NumPy file of that header; ``length`` replaces the header's true length."""
    header = header.ljust(len(header) + -(len(header) + 11) % 64) + b"\n"
    form = "<H" if version == b"\1\0" else "<I"
    return (
        b"\x93NUMPY"
        + version
        + struct.pack(form, (len(header) if length is None else length) & (2**16 - 1 if form == "<H" else 2**32 - 1))
        + header
        + data
    )


def npy_files(dtype: str, shape: tuple[int, ...], data: bytes) -> st.SearchStrategy[bytes]:
    """NumPy files of a valid array's bytes, with true or false headers and bodies."""
    sort = st.sampled_from(
        [
            dtype,
            dtype,
            "'|O'",
            "'<f8'",
            "'|S1000000000'",
            "[('key', '|O')]",
            "'<U99999999'",
            "'|V0'",
            "'x'",
            "[" * 200,
            f"__import__('{CANARY}')",
        ]
    )
    long = st.sampled_from(
        [shape, shape, (2**40,), (-1,), (0,), (2**62, 4), (10**30,), (1,) * 70, "x", "[1]", "(1" + ",1" * 3000 + ")", "(__import__('os'),)"]
    )
    order = st.sampled_from(["False", "False", "True", "1", "'x'"])
    extra = st.sampled_from(["", "", ", 'x': 1", ", " + "(" * 150])
    version = st.sampled_from([b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\4\0", b"\xff\xff"])
    stated = st.sampled_from([None, None, None, 0, 65535, 2**32 - 1])
    body = among([data, data, b"", data[: len(data) // 2], data + b"x", b"\x80\x04cos\nsystem\n."])

    header = st.builds("{{'descr': {}, 'fortran_order': {}, 'shape': {}{}, }}".format, sort, order, long, extra).map(str.encode)
    return st.builds(npy, header, body, version, stated)


def pickles() -> st.SearchStrategy[bytes]:
    """Pickles that would call something, are nested deeply or state a huge length, and random bytes."""
    called = st.sampled_from(
        [
            *(
                ("os", "system"),
                ("builtins", "exec"),
                ("builtins", "eval"),
                ("builtins", "getattr"),
                ("subprocess", "Popen"),
                ("nt", "system"),
            ),
            *(
                ("torch", "load"),
                ("torch.hub", "load"),
                ("torch._utils", "_rebuild_tensor_v2"),
                ("collections", "OrderedDict"),
                ("numpy", "load"),
            ),
            *(("torch.serialization", "load"), ("numpy._core.multiarray", "_reconstruct"), ("_codecs", "encode"), ("x", "y")),
        ]
    )
    argument = st.sampled_from([f"touch {CANARY}", f"open('{CANARY}', 'w')", PAYLOADS[0], ""])

    def calling(names: tuple[str, str], argument: str, sort: int, times: int) -> bytes:
        module, name = names
        text = b"X" + struct.pack("<I", len(argument)) + argument.encode()
        head, tail = b"\x80\x02", b"."
        found = b"c" + module.encode() + b"\n" + name.encode() + b"\n"
        body = (found + text + b"\x85R", found + b"(" + text + b"tR", b"(" + text + b"i" + found[1:], found + text + b"\x85\x81")[sort % 4]
        return head + b"(" * (times % 4) * 1000 + body * max(1, times % 4) + tail

    deep = among([b"\x80\x02" + b"]" * n + b"a" * (n - 1) + b"." for n in (10, 100_000)])
    long = st.sampled_from(
        [b"\x80\x02\x8b" + struct.pack("<i", n) + b"\1" for n in (-1, 2**31 - 1)]
        + [b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.", b"\x80\x02r\xff\xff\xff\xff."]
    )
    return st.one_of(st.builds(calling, called, argument, st.integers(0, 3), st.integers(0, 7)), deep, long, st.binary(max_size=40))


def zipped(members: Mapping[str, bytes], compressed: bool = False) -> bytearray:
    """A zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED)
    return bytearray(stream.getvalue())


def lying_zip(archive: bytearray, field: int, number: int) -> bytes:
    """An archive with a size, an offset, a method or a count in its directory replaced by ``number``."""
    directory, end = archive.find(b"PK\x01\x02"), archive.rfind(b"PK\x05\x06")
    at, width = [
        (directory + 20, 4),
        (directory + 24, 4),
        (directory + 42, 4),
        (directory + 10, 2),
        (end + 10, 2),
        (end + 16, 4),
        (end + 12, 4),
    ][field % 7]
    archive[at : at + width] = (number & (256**width - 1)).to_bytes(width, "little")
    return bytes(archive)


def bomb(name: str, megabytes: int = 64) -> bytes:
    """A small archive of one member that unpacks to ``megabytes`` MiB of zeros."""
    return bytes(zipped({name: b"\0" * (megabytes << 20)}, compressed=True))


# Images and any other bytes


def png(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks with correct checksums."""
    body = b"".join(struct.pack(">I", len(data)) + sort + data + struct.pack(">I", zlib.crc32(sort + data)) for sort, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG."""
    found, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def pngs(honest: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """PNGs with a false header, or with up to three damaged, huge or misplaced chunks."""
    side = st.sampled_from([0, 1, 8, 8192, 20_000, 65_535, 2**31 - 1, 2**31, 2**32 - 1])
    head = st.builds(
        lambda w, h, depth, sort, lace: (b"IHDR", struct.pack(">IIBBBBB", w, h, depth, sort, 0, 0, lace)),
        *(side, side, st.sampled_from([8, 16, 1, 0, 255]), st.sampled_from([2, 0, 3, 4, 6, 9]), st.sampled_from([0, 1, 7])),
    )
    huge = zlib.compress(b"\0" * (8 << 20))
    texts = [
        (b"tEXt", b"k\0" + b"v" * 70_000),
        (b"zTXt", b"k\0\0" + huge),
        (b"iTXt", b"k\0\1\0\0\0" + huge),
        (b"iCCP", b"k\0\0" + huge),
        (b"eXIf", b"II*\0\xff\xff\xff\xff"),
    ]
    other = among(
        [
            *texts,
            (b"gAMA", b"\0\0\0\0"),
            (b"gAMA", b"\xff" * 4),
            (b"tRNS", b"\0" * 300),
            (b"PLTE", b"\0" * 7),
            (b"IDAT", b"\0"),
            (b"IDAT", huge),
            (b"IEND", b""),
            (b"acTL", struct.pack(">II", 2**32 - 1, 0)),
            (b"fcTL", b"\xff" * 26),
            (b"fdAT", b"\0\0\0\1x"),
            (b"cHRM", b"\0" * 32),
            (b"sBIT", b"\xff" * 9),
        ]
    )

    def made(data: bytes, head: tuple[bytes, bytes] | None, others: list[tuple[bytes, bytes]], at: int) -> bytes:
        chunks = png_chunks(data)
        if head is not None:
            chunks[0] = head
        place = 1 + at % len(chunks)
        return png([*chunks[:place], *others, *chunks[place:]])

    return st.builds(made, among(honest), st.one_of(st.none(), head), st.lists(other, max_size=3), st.integers(0, 10))


def overwritten(honest: Sequence[bytes], far: int = 200) -> st.SearchStrategy[bytes]:
    """Files of any binary format with up to four numbers overwritten, mostly in the first ``far`` bytes, the headers; some are cut."""
    forms = st.sampled_from(["<I", ">I", "<H", ">H", "<Q", "<i", "B", "<f"])
    place = st.one_of(st.integers(0, far), st.integers(0, 2**20))
    change = st.tuples(place, forms, st.sampled_from(SIZES))
    end = st.one_of(st.none(), st.none(), st.none(), st.integers(0, 2**16))

    def made(data: bytes, changes: list[tuple[int, str, int]], end: int | None) -> bytes:
        held = bytearray(data)
        for at, form, number in changes:
            width = struct.calcsize(form)
            packed = (
                struct.pack("<f", float(number))
                if form == "<f"
                else (number & (256**width - 1)).to_bytes(width, "little" if form[0] == "<" else "big")
            )
            start = at % max(1, len(held) - width)
            held[start : start + width] = packed
        return bytes(held if end is None else held[: end % (len(held) + 1)])

    return st.builds(made, among(honest), st.lists(change, max_size=4), end)


def glb(content: bytes, data: bytes, lengths: tuple[int | None, int | None, int | None] = (None, None, None)) -> bytes:
    """A binary glTF; ``lengths`` replace the true lengths of the file, its JSON and its binary chunk."""
    content = content + b" " * (-len(content) % 4)
    whole, text, binary = 28 + len(content) + len(data), len(content), len(data)
    whole, text, binary = (
        right if stated is None else stated & (2**32 - 1) for right, stated in zip((whole, text, binary), lengths, strict=True)
    )
    return struct.pack("<4sIII4s", b"glTF", 2, whole, text, b"JSON") + content + struct.pack("<I4s", binary, b"BIN\0") + data
