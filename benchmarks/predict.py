"""Our constrained decoding against transformers' `generate()` on the same language model: tokens a second, and their ratio.

    python benchmarks/predict.py [--preset tiny | --model RUN] [--set KEY=VALUE] [--batches 1 4 16 64] [--rounds 5] [--device auto]

Both begin with pixels, end with text, and write as much code as the domain can have: `generate()` writes as many tokens as our longest
code. `generate()` has neither the grammar nor the numeric head. The two take turns, so that a busy machine slows both alike; a ratio
compares the two within one round.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import torch

from datagen.code.grammar import parse_code
from datagen.domains.registry import get_domain
from model.build import build
from model.device import pick_device
from model.igllm import IGLLM
from model.load import Loaded
from model.prediction.decode import decode
from model.prediction.predict import CodePredictor, Predictor
from model.preset import Preset, get_preset
from model.tokens.automaton import START
from model.tokens.codec import CodeCodec


def fresh(preset: Preset) -> Predictor:
    """A predictor with an untrained model, which is as fast as a trained one."""
    model, codec = build(preset, get_domain("clevr"))
    return Predictor.around(Loaded(model, codec, "fresh", ""))


def generated(model: IGLLM, codec: CodeCodec, pixel_values: torch.Tensor, prompt: list[int], tokens: int) -> list[str]:
    """The texts of `tokens` tokens that `generate()` writes for images."""
    with torch.inference_mode():
        ids = torch.tensor(prompt, device=pixel_values.device).expand(len(pixel_values), -1)
        embedded = torch.cat([model.prepend_prefix(model.see(pixel_values).visual), model.embed(ids, None, None)], dim=1)
        mask = torch.ones(embedded.shape[:2], dtype=torch.long, device=embedded.device)
        written = model.language_model.generate(inputs_embeds=embedded, attention_mask=mask, max_new_tokens=tokens, do_sample=False)
    assert written.shape == (len(pixel_values), tokens)
    return codec.tokenizer.batch_decode(written)


def seconds(run: Callable[[], object], device: torch.device) -> float:
    begin = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def compared(predictor: Predictor, batch: int, rounds: int, device: torch.device) -> dict[str, float]:
    """Tokens a second of our decoding (``ours``) and of `generate()`, and the median, least and greatest of their ratios.

    The predictor's codec and model are changed: neither may end a text early, as a text does that finds no place for one more object.
    """
    assert isinstance(predictor, CodePredictor)
    model, codec, prompt = predictor.model.to(device).eval(), predictor.codec, predictor.prompt
    codec.domain = replace(codec.domain, spacing=None)
    codec.table.allowed[START] &= codec.table.tokens[START] != codec.end
    model.language_model.generation_config.eos_token_id = None
    pixel_values = torch.randn(batch, 3, model.config.image_height, model.config.image_width, device=device, dtype=model.dtype)
    decoded = decode(model, codec, pixel_values, prompt)  # warms up, too
    lengths = [len(codec.encode(parse_code(one.code, codec.domain)).ids) for one in decoded]
    ours, theirs = partial(decode, model, codec, pixel_values, prompt), partial(generated, model, codec, pixel_values, prompt)
    theirs(8)
    rates: list[tuple[float, float]] = []
    for _ in range(rounds):
        rates.append((sum(lengths) / seconds(ours, device), batch * max(lengths) / seconds(partial(theirs, max(lengths)), device)))
    ratios = [one / other for one, other in rates]
    our_rate, their_rate = (median(column) for column in zip(*rates, strict=True))
    found = {"ratio": median(ratios), "least": min(ratios), "most": max(ratios)}
    return {"batch": batch, "tokens": max(lengths), "ours": our_rate, "generate": their_rate, **found}


def main() -> None:
    """Measure, and print a line for each batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--preset", default="tiny")
    source.add_argument("--model", type=Path, help="a trained model's folder")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help="change a setting of the preset")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = pick_device(options.device)
    predictor = (
        Predictor.of(options.model, options.device) if options.model else fresh(get_preset(options.preset).changed(options.settings))
    )
    millions = sum(p.numel() for p in predictor.model.language_model.parameters()) / 1e6
    print(f"{device}, {torch.get_num_threads()} threads, {millions:.1f} M parameters")
    print("batch  tokens     ours  generate  ratio  (least to most)")
    for batch in options.batches:
        row = compared(predictor, batch, options.rounds, device)
        spread = f"({row['least']:.2f} to {row['most']:.2f})"
        print(f"{batch:5} {row['tokens']:7} {row['ours']:8.0f} {row['generate']:9.0f} {row['ratio']:6.2f}  {spread}", flush=True)


if __name__ == "__main__":
    main()
