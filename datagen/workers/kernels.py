"""Blender's kernels for a GPU: compiled once for a machine, by one process, before workers render on that GPU.

Blender brings machine code for some GPUs. For others the driver compiles it when a first frame is rendered, which takes minutes, and keeps
it (see `driver_caches`). A stamp in our own cache says that this driver and this Blender have rendered a first frame on such a GPU. It is
only believed: where a worker's first frame is slow all the same, the kernels are compiled again.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import TracebackType

from datagen.errors import UserError
from datagen.io.cache import cache_folder, drop, private_home
from datagen.io.files import write_bytes
from datagen.io.locks import turn
from datagen.screen import print_line
from datagen.workers.gpus import Gpu
from datagen.workers.process import TELL_SECONDS, SlowStart, WorkerDied, WorkerProcess

COMPILING_SECONDS = 1800.0  # after which compiling counts as hanging
TRIES = 2
CUDA_CACHE = "CUDA_CACHE_PATH"
_NVIDIA = ("CUDA", "OPTIX")
_VERSIONS = ("/sys/module/nvidia/version", "/proc/driver/nvidia/version")
"""Files of which one states the version of NVIDIA's driver. Others are part of the operating system."""


def note(text: str) -> None:
    """Tell the user, on standard error."""
    print_line(f"note: {text}")


class Kernels:
    """The kernels for this machine's GPUs, as one call sees to them; its methods may be called by several threads. A context manager."""

    def __init__(self, tell: Callable[[str], None] = note) -> None:
        """`tell` is given what the user should know, each text once."""
        self._tell, self._told = tell, set[str]()
        self._turn = threading.Lock()  # one thread of this call compiles; a lock on a file does the same among calls
        self._starting = threading.Lock()
        self._compiler: WorkerProcess | None = None
        self._own: dict[Path, int] = {}  # in place of stamps, where none can be written
        self._closed = False

    def __enter__(self) -> Kernels:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop compiling, for good; whoever waits for it gets `WorkerDied`."""
        with self._starting:
            self._closed = True
            if self._compiler is not None:
                self._compiler.stop()

    def known(self, gpu: Gpu) -> int | None:
        """What tells the stamp of the kernels for a GPU from others; None if they are not known to be there."""
        return self._stamp(_stamp_path(gpu))

    def ensure(self, gpu: Gpu, doubted: int | None = None) -> int:
        """Return when the kernels for a GPU are there: compile them unless another call has, or does so now.

        Returns what `known` does then; a stamp that is `doubted` does not count. Raises `UserError` if they cannot be compiled,
        `WorkerDied` if this is closed.
        """
        path = _stamp_path(gpu)
        with self._turn:
            stamp = self._stamp(path)
            if stamp is None or stamp == doubted:
                with self._alone(path, gpu):
                    stamp = self._stamp(path)  # another call may have compiled them meanwhile
                    if stamp is None or stamp == doubted:
                        if stamp is not None:  # else it may be good on another machine
                            drop(path)
                        self._compile(gpu)
                        stamp = self._put_stamp(path, gpu)
            return stamp

    def _compile(self, gpu: Gpu) -> None:
        for tries_left in reversed(range(TRIES)):
            try:
                self._render_first_frame(gpu)
                return
            except SlowStart:
                raise UserError(
                    f"Blender's kernels for {gpu.name} were not compiled within {COMPILING_SECONDS / 60:.0f} min: its driver seems to hang",
                    "--device cpu renders without that GPU; `igllm doctor --compile` tries again.",
                ) from None
            except WorkerDied as death:
                if self._closed:
                    raise
                if not tries_left:
                    raise UserError(
                        f"Blender's kernels for {gpu.name} cannot be compiled: {death}", "--device cpu renders without that GPU."
                    ) from None

    def _render_first_frame(self, gpu: Gpu) -> None:
        """Have a worker compile the kernels by rendering a frame; it may use all cores, and ends when it is done."""
        with self._starting:
            if self._closed:
                raise WorkerDied("compiling was stopped")
            worker = self._compiler = WorkerProcess("--gpu", gpu.kind, gpu.identity)
        try:
            worker.wait_until_ready(COMPILING_SECONDS, lambda: self._say(f"compiling Blender's kernels for {gpu.name}: once, some minutes"))
            worker.end()
        finally:
            with self._starting:
                self._compiler = None
            worker.stop()

    def _say(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._tell(text)

    @contextlib.contextmanager
    def _alone(self, stamp: Path, gpu: Gpu) -> Iterator[None]:
        """Hold the lock that goes with a stamp, after waiting for another call of this machine that holds it; the system frees it when its
        holder ends in any way. Machines that share a home do not wait for each other: OptiX keeps kernels outside of it."""
        name = hashlib.sha256(os.fsencode(stamp)).hexdigest()[:32]
        waiting = f"waiting for another call, which compiles Blender's kernels for {gpu.name}: once, some minutes"
        with contextlib.ExitStack() as held:
            if (home := private_home()) is not None:
                turn_to_compile = turn(
                    home / f"kernels-{name}", lambda _: self._say(waiting), after=TELL_SECONDS, before_each_try=self._check_open
                )
                with contextlib.suppress(OSError):  # where nothing can be written, each call is on its own
                    held.enter_context(turn_to_compile)
            yield

    def _check_open(self) -> None:
        if self._closed:
            raise WorkerDied("compiling was stopped")

    def _stamp(self, path: Path) -> int | None:
        """The time of a stamp; None if there is none, or the driver's caches that it names are gone."""
        if path in self._own:
            return self._own[path]
        try:
            caches = path.read_text().splitlines()[1:]
            return path.stat().st_mtime_ns if all(_is_filled(Path(cache)) for cache in caches) else None
        except (OSError, ValueError):
            return None

    def _put_stamp(self, path: Path, gpu: Gpu) -> int:
        caches = [str(cache) for cache in driver_caches(gpu.kind) if _is_filled(cache)]
        try:
            write_bytes(path, "\n".join([str(gpu), *caches, ""]).encode())
            return path.stat().st_mtime_ns
        except (OSError, UserError):
            self._own[path] = time.monotonic_ns()
            return self._own[path]


def driver_caches(kind: str) -> list[Path]:
    """The folders in which the driver of this kind of GPU may keep what it compiles, so far as they are known.

    CUDA's compiler: CUDA_CACHE_PATH, or ``~/.nv/ComputeCache``. OptiX': OPTIX_CACHE_PATH, or a folder in ``/var/tmp``, or in ``/tmp``.
    """
    if kind not in _NVIDIA:
        return []
    cuda = Path(os.environ.get(CUDA_CACHE) or os.path.expanduser("~/.nv/ComputeCache"))
    if "OPTIX_CACHE_PATH" in os.environ:
        return [cuda, Path(os.environ["OPTIX_CACHE_PATH"])]
    try:
        name = f"OptixCache_{getpass.getuser()}"
    except (KeyError, OSError):
        name = "OptixCache"
    return [cuda, Path("/var/tmp", name), Path("/tmp", name)]


def are_kept(gpu: Gpu) -> bool:
    """Whether the driver keeps the kernels for a GPU: a user may forbid CUDA's compiler to."""
    return gpu.kind not in _NVIDIA or os.environ.get("CUDA_CACHE_DISABLE", "0") == "0"


def lend_cuda_cache() -> None:
    """Point CUDA's compiler to a folder of ours, for this process and its children, if it could not keep anything in its own."""
    usual = Path(os.path.expanduser("~/.nv/ComputeCache"))
    standing = next((folder for folder in (usual, *usual.parents) if folder.exists()), usual)
    if not os.environ.get(CUDA_CACHE) and not (standing.is_dir() and os.access(standing, os.W_OK)):
        os.environ[CUDA_CACHE] = str(cache_folder("cuda"))


def _stamp_path(gpu: Gpu) -> Path:
    """The path of the stamp for such a GPU, its driver, the driver's caches, and this version of Blender."""
    if gpu.kind in _NVIDIA:
        lend_cuda_cache()
        driver = next((text for text in map(_first_line, _VERSIONS) if text), "")
    else:
        driver = platform.release()
    try:
        blender = metadata.version("bpy")
    except metadata.PackageNotFoundError:
        blender = ""
    facts = [gpu.kind, gpu.name, driver, blender, *map(str, driver_caches(gpu.kind))]
    folder = cache_folder("kernels") if are_kept(gpu) else Path(os.devnull)
    return folder / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").partition("\n")[0]
    except OSError:
        return ""


def _is_filled(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return False
