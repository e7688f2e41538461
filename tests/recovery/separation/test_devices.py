"""Conjugate gradients on several devices: against those of NumPy, and in the search for a batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.compiling import devices_of_the_host
from support.marks import alone
from support.separation import equations

import identify as idf
from identify.recovery.separation import devices, products
from identify.recovery.separation.membership import Position
from identify.recovery.separation.products import Equations

ROOT = Path(idf.__file__).parents[1]


@pytest.mark.once
@pytest.mark.parametrize("lifted", [(True, False), (False, True)])
@pytest.mark.parametrize("starts", [3, 5])
def test_steps_are_those_of_numpy(lifted, starts, monkeypatch):
    """Also when fewer starts are left than the descent began with, and when unknowns were filled up."""
    images, spaces, points, rng = equations(lifted)
    single = [R[:, :m].astype(np.float32) for R, m in zip(spaces, (40, 30), strict=True)]
    elsewhere = devices.OnDevices.of(images.tangent(points[:1]), single, starts)
    damping = np.array([1e-3, 1e-2, 1.0])
    for monkeypatched in (products.ITERATIONS, 2):  # to the end, and cut short
        monkeypatch.setattr(products, "ITERATIONS", monkeypatched)
        devices._steps.clear_cache()
        for own in ([0, 1, 2], [2, 0]):
            at = Position.of(images, spaces, points + 0.1 * rng.standard_normal(points.shape))[own]
            here = Equations.of(images, single, at)
            expected, found = here.steps(damping[own]), elsewhere.steps(here, damping[own])
            assert found.shape == expected.shape == (len(own), points.shape[1])
            assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    devices._steps.clear_cache()


def test_one_cpu_computes_with_numpy():
    """Here JAX has one CPU, so nothing goes elsewhere, whatever the size."""
    assert not devices.is_better()


def test_small_products_do_not_load_jax():
    code = (
        "import sys, numpy as np, identify as idf; "
        "s, _ = idf.Configuration(inputs=30, samples=8, width=(60, 40), activation='relu', outputs=5, bias=True).plant(0); "
        "from identify.recovery.separation import search; search.MANY = 1; "
        "assert len(idf.recover(s, judge=False).X) == 8; sys.exit('jax' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


@alone
def test_starts_are_spread_over_devices(tmp_path):
    """Two devices (of the host) find the batch that one finds, and the products of all descents were on them."""
    script = tmp_path / "run.py"
    script.write_text(
        "import sys, jax, numpy as np, identify as idf\n"
        "from identify.recovery.separation import devices, search\n"
        "search.MANY, search.ELSEWHERE, calls = 1, 1, []\n"
        "steps = devices._steps\n"
        "def counted(*given):\n"
        "    found = steps(*given)\n"
        "    calls.append(len(found.sharding.device_set))\n"
        "    return found\n"
        "devices._steps = counted\n"
        "config = idf.Configuration(inputs=40, samples=20, width=(90, 60), activation='relu', outputs=5, bias=True)\n"
        "system, truth = config.plant(0)\n"
        "found = idf.recover(system, judge=False)\n"
        "errors = found.match(truth.X, truth.c).errors\n"
        "np.savez(sys.argv[1], X=found.X, devices=len(jax.devices()), calls=calls, errors=errors)\n"
    )
    results = []
    for count in (1, 2):
        flags = {"XLA_FLAGS": devices_of_the_host(count), "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, script, tmp_path / f"{count}.npz"], check=True, env=os.environ | flags)
        with np.load(tmp_path / f"{count}.npz") as content:
            results.append(dict(content))
    one, two = results
    assert [int(each["devices"]) for each in results] == [1, 2]
    assert not len(one["calls"]) and len(two["calls"]) and set(two["calls"]) == {2}
    assert one["errors"].max() < 1e-9 and two["errors"].max() < 1e-9 and len(two["X"]) == 20
