"""Prediction: a trained model reads images and writes their code. Opens only safetensors and JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer

from datagen.domains import get_domain
from datagen.errors import UserError
from datagen.files import read_json, read_jsonl
from datagen.predictions import Prediction, write_predictions
from datagen.progress import progress
from datagen.sample import decode_image
from datagen.shards import Samples, file_sha256
from model.codec import CodeCodec
from model.config import FORMAT_VERSION
from model.decode import decode
from model.device import pick_device
from model.igllm import IGLLM
from model.images import Frame
from model.quiet import quiet_transformers
from model.tokens import prompt_ids
from model.train import newest_checkpoint

WEIGHTS = Path(__file__).parent / "weights"
SHIPPED_DEFAULT = "tiny"
TRAIN_ONE = "train one with `igllm train --preset tiny --data DIR --out RUN` and give `--model RUN`"


def find_model(name: str | None) -> Path:
    """The folder of a shipped model by name, or a run folder: its finished model, else its newest checkpoint."""
    shipped = WEIGHTS / (name or SHIPPED_DEFAULT)
    if (shipped / "config.json").is_file():
        return shipped
    if name is None:
        raise UserError(f"no model is shipped yet: {TRAIN_ONE}")
    folder = Path(name)
    if (folder / "config.json").is_file():
        return folder
    checkpoint = newest_checkpoint(folder)
    if checkpoint is None:
        raise UserError(f"{name}: neither a shipped model nor a run folder with a model in it; {TRAIN_ONE}")
    return checkpoint


class Predictor:
    """A trained model, ready to read images."""

    def __init__(self, folder: Path, device: str = "auto") -> None:
        config = read_json(folder / "config.json")
        if not isinstance(config, dict) or config.get("model_type") != "igllm":
            raise UserError(f"{folder}: its config.json is not one of an igllm model")
        if config.get("format_version") != FORMAT_VERSION:
            raise UserError(f"{folder}: model format {config.get('format_version')!r}, but this igllm reads {FORMAT_VERSION}")
        self.folder, self.device = folder, pick_device(device)
        quiet_transformers()
        try:
            # float32 whatever the file holds: a half-precision checkpoint would otherwise stay so
            self.model, told = IGLLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
            raise UserError(f"{folder}: this model cannot be loaded ({(str(error) or repr(error)).splitlines()[0]})") from None
        if told["missing_keys"]:  # which transformers would fill with random numbers
            raise UserError(f"{folder}: its weights lack {min(told['missing_keys'])}; the model is damaged")
        self.model.to(self.device).eval()
        self.codec = CodeCodec(get_domain(self.model.config.domain), tokenizer)
        self.frame = Frame.of(self.model.config)
        self.prompt = prompt_ids(tokenizer, self.model.config.prompt)

    def digest(self) -> str:
        """The SHA-256 of the weights."""
        return file_sha256(self.folder / "model.safetensors")

    def predict(self, images: Iterable[tuple[str, np.ndarray]], batch_size: int = 32) -> Iterator[Prediction]:
        """The code of images, each a key and (height, width, 3) uint8 pixels, in order."""
        source = iter(images)
        while batch := list(islice(source, batch_size)):
            tensors = [self.frame.tensor(self.frame.fit(pixels)[0]) for _, pixels in batch]
            decoded = decode(self.model, self.codec, torch.stack(tensors).to(self.device), self.prompt)
            for (key, _), result in zip(batch, decoded, strict=True):
                yield Prediction(key, result.code, confidence=result.confidence)


class ImageFiles:
    """Loose image files as a source of images, keyed by their stems."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = {path.stem: path for path in paths}
        if len(self._paths) < len(paths):
            raise UserError("--images: two files have the same stem, which is a prediction's key; rename one")

    @property
    def keys(self) -> list[str]:
        return list(self._paths)

    def pixels(self, key: str) -> np.ndarray:
        """(height, width, 3) uint8, upright."""
        path = self._paths[key]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: not a readable image ({error})") from None
        return decode_image(data, str(path))


class DatasetImages:
    """The images of a data set, or of its first ``num`` samples."""

    def __init__(self, data: Path, num: int | None = None) -> None:
        self._samples = Samples(data)
        if num is not None and not 1 <= num <= len(self._samples):
            raise UserError(f"--num {num}: {data} holds {len(self._samples)} samples")
        self.keys = self._samples.keys[:num]

    def pixels(self, key: str) -> np.ndarray:
        """(height, width, 3) uint8."""
        return self._samples[key].pixels()


def predict_file(predictor: Predictor, images: ImageFiles | DatasetImages, out: Path, batch_size: int = 32) -> None:
    """Write ``pred.jsonl`` for all images. What an interrupted call has predicted with the same weights is kept."""
    partial = out.with_name(f".{out.name}.partial")
    header = {"model": predictor.digest(), "keys": hashlib.sha256("\n".join(images.keys).encode()).hexdigest()}
    done = _begun(partial, header)
    out.parent.mkdir(parents=True, exist_ok=True)
    if not done:
        partial.write_text(json.dumps(header) + "\n")
    todo = [key for key in images.keys if key not in done]
    with partial.open("a") as stream:
        predictions = predictor.predict(((key, images.pixels(key)) for key in todo), batch_size)
        for prediction in progress(predictions, total=len(todo), desc="predict"):
            done[prediction.key] = prediction
            stream.write(json.dumps(prediction.to_json()) + "\n")
            stream.flush()
    write_predictions(out, (done[key] for key in images.keys))
    partial.unlink()


def _begun(partial: Path, header: dict[str, str]) -> dict[str, Prediction]:
    if not partial.exists():
        return {}
    whole_lines = partial.read_bytes()
    partial.write_bytes(whole_lines[: whole_lines.rfind(b"\n") + 1])  # a kill may have cut the last line short
    rows = read_jsonl(partial)
    if not rows or rows[0] != header:
        return {}
    return {row["key"]: Prediction.from_json(row, str(partial)) for row in rows[1:]}
