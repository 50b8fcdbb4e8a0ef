"""A worker for tests without a GPU: the GPU that it is to render on is not looked for, and Cycles, which finds none, takes the CPU."""

from __future__ import annotations

import sys

from blender_scenes import worker

if __name__ == "__main__":
    from blender_scenes import builders

    builders.enable_gpu = lambda kind, identity: None
    sys.exit(worker.main())
