"""``igllm doctor``: check that everything that the verbs need is installed and works, and print what to install or change.

Blender and PyTorch are imported in separate processes, so that a crash of either does not end the doctor.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from packaging.requirements import Requirement

from datagen.errors import UserError
from datagen.workers.gpus import find_gpus

PACKAGES = {
    "libGL.so.1": "libgl1",
    "libICE.so.6": "libice6",
    "libSM.so.6": "libsm6",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libXrender.so.1": "libxrender1",
    "libxkbcommon.so.0": "libxkbcommon0",
}
"""Which Debian package holds a shared library that Blender needs; ``apt.txt`` lists the same packages."""

LIBRARIES = "Blender's shared libraries"
PROBE_SECONDS = 180.0  # a graphics driver's first look at its devices may take a minute
GIB = 2**30
MEMORY_GIB = 3.0  # a Blender worker takes about half a GiB, training the `tiny` preset about one
DISK_GIB = 2.0

# What Blender and drivers print goes to the same pipe, so the answer is the line that begins with this word.
_ANSWER = "doctor-answer "
_BLENDER_PROBE = f"""
import json, bpy
bpy.ops.wm.read_factory_settings(use_empty=True)  # never the user's own preferences
cycles = bpy.context.preferences.addons["cycles"].preferences
cycles.refresh_devices()
devices = [[device.type, device.name] for device in cycles.devices]
print("\\n{_ANSWER}" + json.dumps({{"version": bpy.app.version_string, "devices": devices}}), flush=True)
"""
_TORCH_PROBE = f"""
import json, torch
devices = [f"cuda:{{i}} {{torch.cuda.get_device_name(i)}}" for i in range(torch.cuda.device_count())]
devices += ["mps"] if torch.backends.mps.is_available() else []
print("\\n{_ANSWER}" + json.dumps({{"version": torch.__version__, "devices": devices, "threads": torch.get_num_threads()}}), flush=True)
"""

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Check:
    """The result of one check. A problem stops some verb; a warning does not. ``mend`` is the remedy for either."""

    name: str
    status: Status
    detail: str
    mend: str = ""

    def __str__(self) -> str:
        """One line, and the remedy, if there is one, on a second."""
        line = f"{self.status:8} {self.name}: {self.detail}"
        return line + (f"\n{'':8} -> {self.mend}" if self.mend else "")


def run_doctor(libraries_only: bool = False, compile_kernels: bool = False) -> int:
    """Print the result of every check as it ends; return 1 if there is a problem, else 0. With `compile_kernels`, compile those that GPUs
    lack."""
    healthy = True
    for check in [check_libraries()] if libraries_only else examine(compile_kernels):
        print(check, flush=True)
        healthy = healthy and check.status != "problem"
    return 0 if healthy else 1


def examine(compile_kernels: bool = False) -> Iterator[Check]:
    """The results of all checks, one after another; see `check_gpus`."""
    yield check_python()
    yield check_packages()
    libraries = check_libraries()
    yield libraries
    if libraries.status != "problem":
        yield from check_blender()
        yield from check_gpus(compile_kernels)
    yield check_torch()
    yield from check_domains()
    yield check_cores()
    yield check_memory()
    yield check_disk(Path.cwd())


def check_python() -> Check:
    """Check the version of Python: Blender's wheel fits one only."""
    version = platform.python_version()
    if sys.version_info[:2] == (3, 11):
        return Check("Python", "ok", version)
    return Check(
        "Python",
        "problem",
        f"{version}; Blender's wheel fits 3.11 only",
        "make the environment with Python 3.11; without it train, predict and compare of scenes work, what renders does not",
    )


def check_packages() -> Check:
    """Check that every package that igllm requires is installed, in a version that it accepts."""
    mend = "in a checkout: pip install -c constraints.txt ."
    try:
        lines = metadata.requires("igllm") or []
    except metadata.PackageNotFoundError:
        return Check("packages", "problem", "igllm is not installed in this environment", mend)
    wanted = [r for r in map(Requirement, lines) if r.marker is None or r.marker.evaluate({"extra": ""})]
    found = {requirement.name: _version(requirement.name) for requirement in wanted}
    wrong = [f"{r} asked for, {found[r.name] or 'nothing'} found" for r in wanted if not _satisfies(found[r.name], r)]
    if wrong:
        return Check("packages", "problem", "; ".join(wrong), mend)
    return Check("packages", "ok", ", ".join(f"{name} {version}" for name, version in sorted(found.items())))


def check_libraries() -> Check:
    """Check the system's libraries that Blender's module loads, without importing the module."""
    try:
        folder = Path(str(metadata.distribution("bpy").locate_file("bpy")))
    except metadata.PackageNotFoundError:
        return Check(LIBRARIES, "problem", "bpy is not installed", "with Python 3.11, in a checkout: pip install -c constraints.txt .")
    # The denoiser is not linked to the module but opened by name when a frame is rendered.
    binaries = [*folder.glob("__init__*.so"), *(folder / "lib").glob("libOpenImageDenoise_device_cpu.so*")]
    if not binaries or shutil.which("ldd") is None:
        return Check(LIBRARIES, "ok", "not looked at on this system; the import of bpy tells")
    return judge_libraries(missing_libraries(binaries))


def missing_libraries(binaries: Iterable[Path]) -> list[str]:
    """The names of the shared libraries that these binaries need and the loader does not find."""
    missing: set[str] = set()
    for binary in binaries:
        answer = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
        missing.update(re.findall(r"^\s*(\S+) => not found", answer.stdout, re.MULTILINE))
    return sorted(missing)


def judge_libraries(missing: list[str]) -> Check:
    """The result of the check of libraries, which names the Debian packages of those that are missing."""
    if not missing:
        return Check(LIBRARIES, "ok", "all found")
    known = sorted({PACKAGES[name] for name in missing if name in PACKAGES})
    unknown = [name for name in missing if name not in PACKAGES]
    mends = []
    if known:
        mends.append(f"on Debian or Ubuntu, as root: apt-get update && apt-get install -y --no-install-recommends {' '.join(known)}")
    if unknown:
        mends.append(f"find the system's packages with {' '.join(unknown)}")
    return Check(LIBRARIES, "problem", f"missing: {' '.join(missing)}", "; ".join(mends))


def check_blender() -> Iterator[Check]:
    """Check that Blender's module can be imported, and that Cycles finds a device to render on."""
    answer = _probe(_BLENDER_PROBE)
    if isinstance(answer, str):
        mend = "in a checkout: pip install --force-reinstall --no-deps -c constraints.txt bpy"
        yield Check("Blender", "problem", f"bpy cannot be used: {answer}", mend)
        return
    yield Check("Blender", "ok", f"{answer['version']}, as the module bpy")
    devices = ", ".join(f"{kind} {name}" for kind, name in answer["devices"])
    yield Check("Cycles", "ok", devices) if devices else Check("Cycles", "problem", "finds no device to render on, not even the CPU")


def check_gpus(compile_kernels: bool) -> Iterator[Check]:
    """Check for each kind of GPU whether Blender's kernels for it are there, and with `compile_kernels` see to it that they are. None is
    checked if a package that this needs is missing, which `check_packages` reports."""
    gpus = {str(gpu): gpu for gpu in find_gpus()}
    if compile_kernels and not gpus:
        yield Check("GPU", "ok", "none that Blender can render on, so there is nothing to compile")
    try:
        from datagen.workers.kernels import Kernels, are_kept
    except ImportError:
        return
    with Kernels() as kernels:
        for name, gpu in gpus.items():
            if not are_kept(gpu):
                yield Check("GPU", "warning", f"{name}: every process compiles Blender's kernels for it anew", "unset CUDA_CACHE_DISABLE")
                continue
            if compile_kernels:
                try:
                    kernels.ensure(gpu, doubted=kernels.known(gpu))  # if they are there, this takes seconds
                except UserError as error:
                    yield Check("GPU", "problem", str(error.args[0]), "--device cpu renders without it")
                    continue
            if kernels.known(gpu) is not None:
                yield Check("GPU", "ok", f"{name}: Blender's kernels for it are there")
            else:
                mend = "igllm doctor --compile does it, as does the first igllm generate that renders on it: once, some minutes"
                yield Check("GPU", "warning", f"{name}: Blender's kernels for it have not been compiled", mend)


def check_torch() -> Check:
    """Check that PyTorch can be imported, and list its devices."""
    answer = _probe(_TORCH_PROBE)
    if isinstance(answer, str):
        return Check("PyTorch", "problem", f"torch cannot be used: {answer}", "in a checkout: pip install -c constraints.txt .")
    return Check("PyTorch", "ok", f"{answer['version']} on {', '.join([*answer['devices'], 'cpu'])}, {answer['threads']} threads")


def check_domains() -> Iterator[Check]:
    """Check that the domains of other packages can be used. None is checked if numpy is missing, which `check_packages` reports."""
    try:
        from datagen.domains.plugins import outside_packages
        from datagen.domains.registry import DOMAINS, get_domain
    except ImportError:
        return
    for name, package in outside_packages().items():
        if name in DOMAINS:
            detail = f"{name}, of the package {package}, is not used: a domain that is built in has that name"
            yield Check("domain", "warning", detail, "give it another name")
            continue
        try:
            get_domain(name)
        except UserError as error:
            yield Check("domain", "problem", str(error), f"mend or uninstall the package {package}")
        else:
            yield Check("domain", "ok", f"{name}, of the package {package}")


def check_cores() -> Check:
    """Check the number of cores: the machine's, those this process may run on, and a container's limit."""
    total = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    shares = []
    for text in _cgroup_files("cpu.max"):
        quota, period = text.split()
        if quota != "max":
            shares.append(int(quota) / int(period))
    share = min(shares, default=float(total))
    if share < usable:
        detail = f"{usable} of {total}, but limited to the work of {share:g}"
        return Check("cores", "warning", detail, f"--workers {max(1, int(share))} where something renders")
    return Check("cores", "ok", f"{usable} of {total}")


def check_memory() -> Check:
    """Check the available memory of the machine and a container's limit."""
    total, available = machine_memory()
    limits = [int(text) for name in ("memory.max", "memory.limit_in_bytes") for text in _cgroup_files(name) if text != "max"]
    limit = min(limits, default=total)
    detail = f"{available / GIB:.1f} GiB available of {total / GIB:.1f} GiB"
    if limit < total:
        detail += f", limited to {limit / GIB:.1f} GiB"
    if min(available, limit) < MEMORY_GIB * GIB:
        return Check("memory", "warning", detail, f"fewer --workers: generating and training want {MEMORY_GIB:g} GiB")
    return Check("memory", "ok", detail)


def machine_memory() -> tuple[int, int]:
    """The machine's memory in bytes: in all, and available."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemTotal"].split()[0]) * 1024, int(lines["MemAvailable"].split()[0]) * 1024
    except OSError:  # not Linux: the available memory is not known
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return total, total


def check_disk(folder: Path) -> Check:
    """Check the free disk space of a folder."""
    usage = shutil.disk_usage(folder)
    detail = f"{usage.free / GIB:.1f} GiB free of {usage.total / GIB:.1f} GiB in {folder}"
    if usage.free < DISK_GIB * GIB:
        return Check("disk", "warning", detail, "write elsewhere with --out, or make room")
    return Check("disk", "ok", detail)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _satisfies(version: str | None, requirement: Requirement) -> bool:
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _probe(program: str) -> dict[str, Any] | str:
    """Run a program in a separate process and return its answer, or an error message."""
    command = [sys.executable, "-P", "-c", program]  # -P: no module of the current folder is taken for a package
    try:
        process = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"no answer in {PROBE_SECONDS:g} s"
    except OSError as error:
        return f"{sys.executable} cannot be started: {error.strerror or error}"
    for line in process.stdout.splitlines():
        if line.startswith(_ANSWER):
            answer: dict[str, Any] = json.loads(line.removeprefix(_ANSWER))
            return answer
    errors = process.stderr.strip().splitlines()
    return errors[-1] if errors else f"the process ended with status {process.returncode}"


def _cgroup_files(name: str) -> Iterator[str]:
    """The contents of a control file in this process's cgroups (version 1 or 2) and all cgroups above them; none except on Linux."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            inner = PurePosixPath(place.lstrip("/"))
            for group in (inner, *inner.parents):
                file = Path("/sys/fs/cgroup", controllers, group, name)
                if file.is_file():
                    yield file.read_text().strip()
