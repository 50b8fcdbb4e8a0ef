"""`igllm doctor` reports each problem with its remedy, and none on a machine that can run the tests."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from places import ROOT

from datagen import doctor

APT = ROOT / "apt.txt"
NO_LIBRARIES = "\tlibc.so.6 => /lib/libc.so.6 (0x0)\n\tlibXi.so.6 => not found\n\tlibGL.so.1 => not found\n"


def fake_ldd(folder: Path, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """Replace ldd by a program that prints `output` for every file."""
    text = folder / "output"
    text.write_text(output)
    program = folder / "ldd"
    program.write_text(f"#!/bin/sh\n/bin/cat '{text}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_this_machine_is_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for stray in ("bpy.py", "torch.py", "json.py"):  # the doctor imports nothing from the current folder
        (tmp_path / stray).write_text("raise SystemExit('taken from the current folder')\n")
    monkeypatch.chdir(tmp_path)
    status = doctor.run_doctor()
    report = capsys.readouterr().out
    assert status == 0, report
    assert "Cycles: " in report
    assert "CPU" in report.split("Cycles: ")[1].splitlines()[0]
    assert f"torch {metadata.version('torch')}" in report


def test_map_and_apt_list_agree() -> None:
    listed = [line.split("#")[0].strip() for line in APT.read_text().splitlines()]
    assert set(doctor.PACKAGES.values()) == {package for package in listed if package}


def test_missing_libraries_name_their_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake_ldd(tmp_path, monkeypatch, NO_LIBRARIES)
    assert doctor.run_doctor(libraries_only=True) == 1
    line, mend = capsys.readouterr().out.splitlines()
    assert line.startswith("problem")
    assert "libGL.so.1 libXi.so.6" in line
    assert mend.endswith("apt-get install -y --no-install-recommends libgl1 libxi6")


def test_libraries_present(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake_ldd(tmp_path, monkeypatch, "\tlibc.so.6 => /lib/libc.so.6 (0x0)\n")
    assert doctor.run_doctor(libraries_only=True) == 0
    assert capsys.readouterr().out.splitlines() == ["ok       Blender's shared libraries: all found"]


def test_blender_is_not_started_without_its_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ldd(tmp_path, monkeypatch, NO_LIBRARIES)
    assert "Blender" not in [check.name for check in doctor.examine()]


def test_library_of_an_unknown_package_is_named() -> None:
    check = doctor.judge_libraries(["libX11.so.6", "libnew.so.1"])
    assert check.status == "problem"
    assert check.mend.endswith("libx11-6; find the system's packages with libnew.so.1")


def test_without_bpy(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    assert doctor.check_libraries().status == "problem"


def test_another_python(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_python().status == "ok"
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    assert doctor.check_python().status == "problem"


def test_packages_missing_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = ["numpy>=99", "no-such-package", "bpy==9; python_version == '2.7'", "nor-this; extra == 'dev'", "packaging"]
    monkeypatch.setattr(metadata, "requires", lambda name: requirements)
    check = doctor.check_packages()
    assert check.status == "problem"
    assert check.detail == f"numpy>=99 asked for, {metadata.version('numpy')} found; no-such-package asked for, nothing found"


@pytest.mark.parametrize(
    ("program", "seconds", "message"),
    [
        ("raise ImportError('libfoo.so: cannot open shared object file')", 600, "ImportError: libfoo.so: cannot open shared object file"),
        ("import os; os._exit(3)", 600, "the process ended with status 3"),
        ("import time; time.sleep(600)", 1, "no answer in 1 s"),
    ],
)
def test_blender_that_fails(program: str, seconds: float, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_BLENDER_PROBE", program)
    monkeypatch.setattr(doctor, "PROBE_SECONDS", seconds)
    [check] = doctor.check_blender()
    assert check.status == "problem"
    assert message in check.detail
    assert check.mend


def test_limits_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"memory.max": ["max", str(2**30)], "cpu.max": ["50000 100000", "max 100000"]}
    monkeypatch.setattr(doctor, "_cgroup_files", lambda name: iter(files.get(name, [])))
    memory, cores = doctor.check_memory(), doctor.check_cores()
    assert (memory.status, cores.status) == ("warning", "warning")
    assert "limited to 1.0 GiB" in memory.detail
    assert "limited to the work of 0.5" in cores.detail


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(tmp_path) in doctor.check_disk(tmp_path).detail
    monkeypatch.setattr(doctor, "DISK_GIB", 2.0**40)
    assert doctor.check_disk(tmp_path).status == "warning"


def test_the_doctor_imports_neither_blender_nor_torch() -> None:
    program = "import sys, datagen.doctor; sys.exit(bool({'bpy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-P", "-c", program], check=False).returncode == 0


def test_a_package_that_is_missing_does_not_end_the_doctor() -> None:
    """The doctor is there to say so."""
    program = """if True:
        import sys
        sys.modules["jsonlines"] = sys.modules["msgspec"] = None
        from datagen import doctor
        from datagen.workers.gpus import Gpu
        doctor.find_gpus = lambda: [Gpu("HIP", "1", "Card")]
        assert list(doctor.check_gpus(compile_kernels=True)) == []"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
