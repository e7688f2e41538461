"""What is loaded by the first import and by the first verdict: seconds vary between machines, modules do not."""

import subprocess
import sys

import pytest

HEAVY = {"jax", "sympy", "scipy.linalg", "scipy.optimize", "scipy.sparse", "scipy.special", "networkx", "matplotlib", "pandas", "sklearn"}
CHECK = "identify.check(identify.Configuration(inputs=4, samples=3, width=12, activation='z + z^3')).explain()"
SYSTEM = (
    "system, truth = identify.Configuration(inputs=4, samples=3, width=12, activation='z + z^3').plant(0); "
    "identify.check(system, samples=3)"
)


def loaded_by(code: str) -> set[str]:
    """Modules after these statements in a new process."""
    command = f"import sys, identify\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_the_import_loads_nothing_else():
    loaded = loaded_by("")
    assert "numpy" not in loaded
    assert {name for name in loaded if name.startswith("identify")} == {"identify"}


@pytest.mark.parametrize("code", [CHECK, SYSTEM, "import identify.cli"])
def test_verdicts_and_the_command_line_need_no_heavy_library(code):
    loaded = loaded_by(code)
    assert "identify.conditions.check" in loaded or "typer" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_small_recovery_waits_for_no_compiler(activation):
    planted = f"identify.Configuration(inputs=12, samples=3, width=20, activation={activation!r}, outputs=4, bias=True).plant(0)[0]"
    loaded = loaded_by(f"print(identify.recover({planted}).n_samples)")
    assert "identify.recovery.recover" in loaded
    assert not loaded & (HEAVY - {"scipy.linalg", "scipy.special", "scipy.sparse"})


def test_the_guard_sees_what_is_loaded():
    assert {"sympy", "identify.symbolic.system"} <= loaded_by("identify.kkt_equations")
