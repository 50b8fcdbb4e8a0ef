"""``igllm`` with FSDP or DeepSpeed on processors, for tests: accelerate takes both for GPUs alone, and this tells it otherwise.

accelerate launch --config_file model/parallel/fsdp.yaml --num_processes 2 --no_python python tests/support/spread_on_cpu.py train ...
"""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
import transformers.training_args
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

import igllm
from model.training import run


def let_fsdp_run() -> None:
    """Let accelerate's state be FSDP's where its processes are on processors, as it is where they are on GPUs."""
    usual, plugins = AcceleratorState.__init__, []

    def begin(self: Any, *arguments: Any, fsdp_plugin: Any = None, **keywords: Any) -> None:
        usual(self, *arguments, fsdp_plugin=fsdp_plugin, **keywords)
        plugins.extend([fsdp_plugin] if fsdp_plugin is not None else [])
        if plugins and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, plugins[-1]
            if self._mixed_precision != "no":
                self.fsdp_plugin.set_mixed_precision(self._mixed_precision)

    AcceleratorState.__init__ = begin


def let_deepspeed_run() -> None:
    """Let accelerate start DeepSpeed with gloo, and transformers take the processors for what it was asked for."""
    usual = run.TrainingArguments

    def set_device(self: Any) -> None:
        self.device = torch.device("cpu")

    PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_CPU)
    PartialState.set_device = set_device
    transformers.training_args.is_torch_bf16_gpu_available = lambda: True
    run.TrainingArguments = lambda **keywords: usual(**{**keywords, "use_cpu": False})


if __name__ == "__main__":
    if not torch.cuda.is_available():
        (let_fsdp_run if "ACCELERATE_USE_FSDP" in os.environ else let_deepspeed_run)()
    sys.exit(igllm.main())
