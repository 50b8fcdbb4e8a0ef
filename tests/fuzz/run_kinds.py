"""Fuzzer inputs: run folders and their checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import declared
import headers
import honest
from faults import PAYLOADS, PLACES
from headers import SIZES
from hypothesis import strategies as st
from kinds import Files, Kind
from trained import load, train, trained


def runs() -> st.SearchStrategy[Files]:
    """Run folders with one damaged file, some with a digest in ``whole.json`` that matches it."""
    import model.load  # noqa: F401 - slow: before the first input is timed

    held = trained()
    small = [name for name in held if name.endswith(".json") and "tokenizer" not in name and "config" not in name]
    whole = next(name for name in held if name.endswith("whole.json"))

    def one(name: str) -> st.SearchStrategy[Files]:
        declaration = declarations.get(name.rpartition("/")[2])
        return declared.damaged([json.loads(held[name])], declaration, most=2).map(lambda data: {name: data})

    from model.declared import Best, Pending, RunStatement, WholeCheckpoint

    declarations = {"run.json": RunStatement, "pending.json": Pending, "whole.json": WholeCheckpoint}
    best = declared.damaged([{"step": 1, "eval_loss": 2.5}], Best, most=2).map(lambda data: {"best/best.json": data})
    listed = declared.damaged([{**json.loads(held[whole]), place: "0" * 64} for place in PLACES if "\\" not in place], most=2).map(
        lambda data: {whole: data}
    )
    optimizer = whole.replace("whole.json", "optimizer.pt")
    bombs = _torch_files().map(lambda data: {optimizer: data})
    vouch = st.booleans()
    return st.builds(
        lambda files, vouch: _vouched({**held, **files}, whole) if vouch else {**held, **files},
        st.one_of(*map(one, small), best, listed, bombs),
        vouch,
    )


def _newest(folder: Path, out: Path) -> int:
    """Check a run folder as `igllm train` and `igllm predict` do before they load anything."""
    from model.load import find_model
    from model.preset import get_preset
    from model.run_folder import best_loss, check_run, newest_checkpoint

    check_run(folder, get_preset(str(honest.home() / "small.toml")))
    best_loss(folder)
    newest_checkpoint(folder)
    find_model(str(folder))
    return 0


def pickled() -> st.SearchStrategy[Files]:
    """Run folders with a damaged pickle or state in the checkpoint and digests that match, as an attacker would write them."""
    held = trained()
    whole = next(name for name in held if name.endswith("whole.json"))
    names = [name for name in held if name.endswith((".pt", ".pth"))]
    one = st.builds(
        lambda name, data: _vouched({**held, name: data}, whole),
        st.sampled_from(names),
        st.one_of(_torch_files(), headers.overwritten([held[names[0]]])),
    )
    states = [name for name in held if name.endswith(("trainer_state.json", "pending.json"))]
    damaged = st.one_of(
        [
            declared.damaged([json.loads(held[name])], most=2).map(lambda data, name=name: _vouched({**held, name: data}, whole))
            for name in states
        ]
    )
    return st.one_of(one, damaged)


def _vouched(files: dict[str, bytes], whole: str) -> Files:
    """The files, with their true digests in ``whole.json``."""
    import hashlib

    folder = whole.removesuffix("whole.json")
    inside = {name.removeprefix(folder): data for name, data in files.items() if name.startswith(folder) and name != whole}
    return {**files, whole: json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in inside.items()}).encode()}


def _torch_files() -> st.SearchStrategy[bytes]:
    """Crafted files in the formats of `torch.save`: pickles that call something, bare or zipped, zips that are false or huge, payloads."""
    head = {"archive/version": b"3\n", "archive/byteorder": b"little"}
    zips = headers.pickles().map(lambda data: bytes(headers.zipped({"archive/data.pkl": data, **head})))
    lying = st.builds(
        lambda data, field, number: headers.lying_zip(headers.zipped({"archive/data.pkl": data, **head}), field, number),
        *(headers.pickles(), st.integers(0, 6), st.sampled_from(SIZES)),
    )
    return st.one_of(
        zips,
        lying,
        headers.pickles(),
        st.just(headers.bomb("archive/data.pkl", 16)),
        st.sampled_from([payload.encode() for payload in PAYLOADS]),
    )


def _resume(folder: Path, out: Path) -> int:
    return train(folder, honest.home(), 2)


KINDS = {
    "run": Kind(runs, _newest, share=0.3, prepare=load),
    "checkpoint": Kind(pickled, _resume, share=0.002, block=100, some=2, prepare=load),
}
