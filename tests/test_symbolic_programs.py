"""Exported systems, run by the programs they are written for: the counts are those of the truth table."""

import re
import shutil
import subprocess

import pytest

from identify.configuration import Configuration
from identify.symbolic.export import FORMATS
from identify.symbolic.system import kkt_equations

SYSTEMS = [  # activation, (d, n, m), dimension, number of solutions with all c_i non-zero (Groebner bases, random instances)
    ("z + z^2 + z^3", (2, 2, 2), 0, 16),
    ("z + z^2 + z^3", (2, 2, 3), 0, 2),
    ("z + z^2 + z^3", (3, 2, 3), 0, 2),
    ("z + z^2 + z^3", (2, 3, 3), 0, 6),
    ("z + z^3", (2, 2, 3), 0, 8),
    ("z + z^3", (2, 3, 4), 3, None),
]
PROGRAMS = {"singular": ["Singular", "-q"], "macaulay2": ["M2", "--script"]}


def exported(activation, sizes, form, modulus=None):
    d, n, m = sizes
    config = Configuration(inputs=d, samples=n, width=m, activation=activation)
    return kkt_equations(config.plant(3, integers=True)[0], samples=n).export(form, modulus=modulus)


@pytest.mark.parametrize("form", PROGRAMS)
@pytest.mark.parametrize(("activation", "sizes", "dimension", "count"), SYSTEMS)
def test_dimension_and_degree(tmp_path, form, activation, sizes, dimension, count):
    command = PROGRAMS[form]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    path = tmp_path / f"system.{form}"
    path.write_text(exported(activation, sizes, form, 32003), encoding="utf-8")
    shown = subprocess.run([*command, path], capture_output=True, text=True, timeout=120, check=True, stdin=subprocess.DEVNULL).stdout
    assert int(re.search(r"dimension (-?\d+)", shown)[1]) == dimension
    if count is not None:
        assert int(re.search(r"degree (\d+)", shown)[1]) == count


@pytest.mark.parametrize(("activation", "sizes", "dimension", "count"), SYSTEMS[1:3])
def test_msolve_finds_the_planted_data(tmp_path, activation, sizes, dimension, count):
    program = shutil.which("msolve")
    if program is None:
        pytest.skip("msolve is not installed")
    (tmp_path / "in.ms").write_text(exported(activation, sizes, "msolve"), encoding="utf-8")
    subprocess.run([program, "-f", tmp_path / "in.ms", "-o", tmp_path / "out.ms"], timeout=120, check=True)
    shown = (tmp_path / "out.ms").read_text()
    assert shown.startswith("[0,")
    d, n, m = sizes
    truth = Configuration(inputs=d, samples=n, width=m, activation=activation).plant(3, integers=True)[1]
    for i, j in ((0, 1), (1, 0)):
        values = [*truth.X[[i, j]].ravel(), *truth.c[[i, j]]]
        assert all(f"[{int(v)}, {int(v)}]" in shown for v in values)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_writes_every_equation(form):
    text = exported("z^3", (2, 2, 2), form)
    assert "c" in text and len(text) > 200
    assert text == exported("z^3", (2, 2, 2), form)


@pytest.mark.parametrize("form", ["msolve", "phcpack"])
def test_programs_that_need_numbers_say_so(form):
    symbolic = kkt_equations(Configuration(inputs=1, samples=1, width=1, activation="z^2"))
    with pytest.raises(ValueError, match="numbers"):
        symbolic.export(form)


def test_unknown_formats_and_writing(tmp_path):
    system = kkt_equations(Configuration(inputs=1, samples=1, width=1, activation="z^2"))
    with pytest.raises(ValueError, match="expected one of msolve, singular, macaulay2, phcpack, julia, sage"):
        system.export("maple")
    text = system.export("singular", path=tmp_path / "s.sing")
    assert (tmp_path / "s.sing").read_text(encoding="utf-8") == text
