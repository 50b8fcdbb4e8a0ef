"""Two training loops over the same model and batches, timed: ``igllm train``, and a bare loop of PyTorch.

Both read the same samples in the same order, compute in the same precision, clip gradients and step the same optimizer. ``igllm train``
also logs, counts and saves. The first steps warm up; the next are timed as a whole, the device being waited for at the two ends alone;
the last are timed phase by phase, the device being waited for at every change of phase, which makes them slower than the others.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import accelerate
import torch
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import extract_model_from_parallel
from flops import Cost, cost_of, wait
from torch.utils.data import DataLoader

from datagen.io.bounds import peak_memory
from datagen.shards.reader import Samples
from model.batch import IGNORED
from model.build import build
from model.data.examples import CodeSource, Collator
from model.data.feature_cache import FeatureCache
from model.data.frames import Frame
from model.data.order import Mixture
from model.igllm import IGLLM
from model.preset import Preset
from model.tokens.codec import CodeCodec
from model.training.train import Callback, Data, example_maker, train
from model.training.trainer import IGTrainer, adamw

PHASES = ("data", "forward", "backward", "optimizer", "rest")
GIB = 2**30
COUNTED = 16  # samples of which the mean length is taken


@dataclass(frozen=True)
class Steps:
    """How many optimizer steps warm up, are timed as a whole, and are timed phase by phase. One more is not timed: before its last step,
    Trainer waits until its loaders have ended."""

    warm: int
    timed: int
    split: int

    @property
    def all(self) -> int:
        return self.warm + self.timed + self.split + 1


@dataclass
class Clock:
    """The seconds of the timed steps, and of each phase of the split ones."""

    steps: Steps
    device: torch.device
    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    _begin: float = 0.0
    _splitting: bool = False

    def step_done(self, step: int) -> None:
        """To be called after every step, with its number."""
        ends = {self.steps.warm, self.steps.warm + self.steps.timed, self.steps.all - 1}
        if step not in ends:
            return
        wait(self.device)
        now = time.perf_counter()
        if step == self.steps.all - 1:
            self.phases["rest"], self._splitting = now - self._begin - sum(self.phases.values()), False
        elif step == self.steps.warm + self.steps.timed:
            self.seconds, self._splitting = now - self._begin, True
        self._begin = now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A part of a step."""
        if not self._splitting:
            yield
            return
        wait(self.device)
        begin = time.perf_counter()
        yield
        wait(self.device)
        self.phases[name] += time.perf_counter() - begin


@dataclass(frozen=True)
class Measured:
    """What one loop did: samples a second, peak memory in bytes, seconds of a step in each phase, and the model that was trained."""

    rate: float
    memory: int
    phases: dict[str, float]
    model: IGLLM
    codec: CodeCodec

    def row(self, cost: Cost, product: float) -> dict[str, Any]:
        """The figures as plain data; ``product`` is the FLOPs a second that the device can do."""
        flops = self.rate * cost.flops
        return {
            "samples_per_second": self.rate,
            "tokens_per_sample": cost.tokens,
            "tokens_per_second": self.rate * cost.tokens,
            "model_tflops": flops / 1e12,
            "share_of_product": flops / product,
            "peak_gib": self.memory / GIB,
            "step_milliseconds": {name: 1000 * seconds for name, seconds in self.phases.items()},
        }


def measured_train(preset: Preset, name: str, data: Path, steps: Steps, device: torch.device) -> Measured:
    """`igllm train`, as its users call it, into a folder that is removed."""
    clock, seen = Clock(steps, device), []
    preset = preset.replaced(steps=steps.all, report_to="none")

    def step_done(loaded: Any, step: int) -> None:
        clock.step_done(step)
        seen[:] = [loaded.codec]

    _reset_peak(device)
    with tempfile.TemporaryDirectory(dir=data.parent) as out, _timed_trainer(clock):
        model = train(preset, name, data=Data([data]), out=Path(out), device=device.type, callback=Callback(step_done, 1))
    return _measured(clock, preset, model, seen[0])


@contextmanager
def _timed_trainer(clock: Clock) -> Iterator[None]:
    """Have a clock time the phases of `IGTrainer`'s steps."""
    places = {
        "data": [(IGTrainer, "get_batch_samples")],
        "forward": [(IGTrainer, "compute_loss")],
        "backward": [(accelerate.Accelerator, "backward")],
        "optimizer": [(accelerate.Accelerator, "clip_grad_norm_"), (AcceleratedOptimizer, "step")],
    }
    with ExitStack() as patched:
        for phase, methods in places.items():
            for owner, method in methods:
                patched.enter_context(mock.patch.object(owner, method, _timed(clock, phase, getattr(owner, method))))
        yield


def _timed(clock: Clock, phase: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        with clock.phase(phase):
            return method(*arguments, **keywords)

    return call


def measured_bare(preset: Preset, data: Path, steps: Steps, device: torch.device, made: tuple[IGLLM, CodeCodec] | None = None) -> Measured:
    """A bare training loop, over a new model or one that is ``made`` already."""
    how, clock = preset.optimisation, Clock(steps, device)
    torch.manual_seed(how.seed)
    model, codec = made or build(preset, Samples(data).at(0).domain)
    _reset_peak(device)
    # Without the wrapper that `igllm train` may have left around its forward pass.
    model = extract_model_from_parallel(model, keep_fp32_wrapper=False).to(device)
    mixture = Mixture([source_of(preset, data, model, codec)], [1.0], how.seed, steps.all * how.batch_size * how.accumulation)
    loader = DataLoader(mixture, how.batch_size, collate_fn=Collator(codec.tokenizer.pad_token_id), num_workers=preset.run.loaders)
    optimizer = adamw(model, how)
    if preset.run.gradient_checkpointing and not made:
        model.activation_checkpointing_enable({"use_reentrant": False})
    model.train()
    batches = iter(loader)
    for step in range(1, steps.all + 1):
        for _ in range(how.accumulation):
            with clock.phase("data"):
                batch = {name: value.to(device) for name, value in next(batches).items()}
            with clock.phase("forward"), torch.autocast(device.type, torch.bfloat16, enabled=how.bf16):
                loss = model(**batch).loss / how.accumulation
            with clock.phase("backward"):
                loss.backward()
        with clock.phase("optimizer"):
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        optimizer.zero_grad()
        clock.step_done(step)
    return _measured(clock, preset, model, codec)


def source_of(preset: Preset, data: Path, model: IGLLM, codec: CodeCodec) -> CodeSource:
    """The source of a data set's examples, as `igllm train` makes it."""
    archive, make = Samples.for_training(data), example_maker(model, codec, preset.examples)
    source = CodeSource(archive, make)
    if not preset.tower.cache_features:
        return source
    cache = FeatureCache.fill(model.tower, Frame.of(model.config), source, "benchmark", preset.optimisation.batch_size)
    return CodeSource(archive, make, cache)


def cost_on(preset: Preset, data: Path, model: IGLLM, codec: CodeCodec) -> Cost:
    """What a sample costs, from the mean length of the first texts."""
    source = source_of(preset.replaced(cache_features=False), data, model, codec)
    labels = [source.example(number, None)["labels"] for number in range(min(COUNTED, len(source)))]
    text, labelled = (sum(lengths) / len(labels) for lengths in (map(len, labels), (sum(x != IGNORED for x in each) for each in labels)))
    return cost_of(model, text=text, labelled=labelled, cached=preset.tower.cache_features)


def _measured(clock: Clock, preset: Preset, model: Any, codec: CodeCodec) -> Measured:
    step = preset.optimisation.batch_size * preset.optimisation.accumulation
    phases = {name: seconds / clock.steps.split for name, seconds in clock.phases.items()}
    return Measured(clock.steps.timed * step / clock.seconds, _peak(clock.device), phases, model, codec)


def _reset_peak(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int:
    """The greatest memory in bytes that was taken: of the device since `_reset_peak`, on a CPU of the process since it began."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory()
