"""How XLA compiles for the tests: quickly, and each program once for all the processes of a run.

The programs of the tests are small, and many of them run once: most of the time of the tests would go into optimising them. Variables
that are set already stay. ``tests/conftest.py`` calls this before JAX is imported.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile

QUICK = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
"""The emitters of fused kernels take most of the time that is left without optimisations, and then the modules for the other cores,
into which a program is split."""


def set_up() -> None:
    """In the first process of a run; those that it starts inherit the variables."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("NPROC", "1")  # threads of XLA: the other cores are taken by the other workers
        return
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    # not even where bytecode is not wanted: each process of the command line would compile the package again
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if "XLA_FLAGS" not in os.environ and is_known(QUICK):
        os.environ["XLA_FLAGS"] = QUICK
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="identify-tests-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def is_known(flags: str) -> bool:
    """Whether this version of XLA has the flags: a process with one that it does not know dies at its first computation."""
    probe = [sys.executable, "-c", "import jax; jax.devices()"]
    return subprocess.run(probe, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, check=False).returncode == 0


def devices_of_the_host(count: int) -> str:
    """Flags of XLA for a process with several devices on the host, beside those that it would have."""
    return f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}".strip()
