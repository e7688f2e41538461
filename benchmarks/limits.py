"""How well every verb keeps to its budget at sizes a hundred times too large, and how soon an interrupt or a termination ends it.

``python benchmarks/limits.py`` runs each case in a new process: once to its end, once with Ctrl-C half a second in, and once with
SIGTERM, and prints one markdown table. The process takes the signals as the command line does. A verb has to end within twice its
budget, or five seconds, in an answer or an error of this package, take at most one and a half times the memory that it is allowed, and end
within two seconds of the signal; so have the processes that it started. ``--cases`` names some; without them all are run. With ``--cpu``
seconds to the end are those of the processor, if they are fewer: for a machine that does other things as well.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from measuring import machine, significant

CUBIC = "z + z^2/2 + z^3"
WITHIN = 5.0
"""Seconds that every verb may take, whatever its budget."""
AFTER_INTERRUPT = 2.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)
MEMORY = 2.0
"""GiB that one piece of work may take (IDENTIFY_MEMORY)."""
MORE = 1.5
"""Memory that a verb may take beyond what was there before it, relative to that."""
SWEEP = (
    "import tempfile; from concurrent.futures import ThreadPoolExecutor; store = tempfile.mkdtemp(); "
    "grid = dict(measure={}, inputs={}, {}, width={}, activation='z + z^2/2 + z^3')"
)
PLANTED = "system, truth = config({}, {}, {}).plant(seed=0); data = truth.X, truth.c"
CLASSIFIER = "system, truth = classifier('{}', {}, {}).plant(seed=0); data = truth.X, truth.c"
ONE_LAYER = "; system = idf.KKTSystem.gradient(system.network, layers={})"
NOISE = (
    "; noise = numpy.random.default_rng(0).standard_normal(system.n_equations); "
    "system = system.with_target(system.target + 1e-6 * noise * numpy.linalg.norm(system.target) / len(noise)**0.5)"
)
STEPS = (
    "; net = system.network; final = net.with_parameters({name: part + 1e-3 * system.parts[name] for name, part in net.parameters.items()})"
    "; steps = idf.KKTSystem.steps(net, final, learning_rate=1e-3, steps=5)"
)
HEAD = (
    "n, C, m = {}, {}, {}; rng = numpy.random.default_rng(0); A = rng.standard_normal((C, m)) / m**0.5; H = rng.standard_normal((n, m)); "
    "p = numpy.exp(H @ A.T); c = (numpy.eye(C)[rng.integers(C, size=n)] - p / p.sum(axis=1, keepdims=True)) / n; "
    "head = idf.KKTSystem.linear_head(A, numpy.zeros(C), W=c.T @ H, bias=c.sum(axis=0))"
)
KNOWN_MAP = (
    "rng = numpy.random.default_rng(0); V = rng.standard_normal((4000, 784)) / 28; X = rng.random((100, 784)); "
    "U = rng.standard_normal((100, 500)); G = U.T @ numpy.tanh(X @ V.T); "
    "map = idf.KKTSystem.features(lambda x: jax.numpy.tanh(V @ x), 784, W=G, box=(0, 1))"
)
JAX = "import jax.numpy; "
"""Loading it does not count against a budget; compiling does."""
CASES: dict[str, tuple[str, str]] = {
    "check, configuration": ("", "idf.check(config(784, 700, 1000), budget=budget)"),
    "check, configuration, more samples": ("", "idf.check(config(784, 60000, 1000), budget=budget)"),
    "check, configuration, everything": ("", "idf.check(config(784, 20000, 1000), budget=budget, conditions=idf_conditions)"),
    "check, configuration, degree 2": ("", "idf.check(config(784, 20000, 1000, 'z + z^2'), budget=budget)"),
    "check, configuration, just affordable": ("", "idf.check(config(60, 50, 300), budget=budget)"),
    "check, many outputs": ("", "idf.check(config(100, 500, 400, outputs=100, layers='first'), budget=budget)"),
    "check, system": (PLANTED.format(784, 300, 1000), "idf.check(system, samples=300, budget=budget)"),
    "check, data": (PLANTED.format(784, 300, 1000), "idf.check(system, data=data, budget=budget)"),
    "check, more data than inputs": (PLANTED.format(100, 4000, 1000), "idf.check(system, data=data, budget=budget)"),
    "largest_identifiable": ("", "idf.largest_identifiable(config(784, 1, 1000), budget=budget)"),
    "largest_identifiable, affordable memory": ("", "idf.largest_identifiable(config(60, 1, 200), budget=budget)"),
    "recover": (JAX + PLANTED.format(784, 200, 1000), "idf.recover(system, samples=200, budget=budget)"),
    "kkt_equations": ("", "idf.kkt_equations(config(784, 700, 1000))"),
    "certify": (PLANTED.format(784, 200, 1000), "idf.certify(system, data)"),
    "report.certificate": ("report = idf.check(config(30, 80, 140))", "report.certificate(budget=budget)"),
    "verify": ("proof = idf.check(config(17, 60, 90)).certificate()", "idf.verify(proof, budget=budget / 10)"),
    "defences": (JAX + PLANTED.format(200, 100, 400), "idf.defences(system, *data, budget=budget)"),
    "audit": (JAX + PLANTED.format(784, 200, 1000), "idf.audit(system, budget=budget)"),
    "reconstruct": (
        JAX + "net = idf.attacks.random_network((784, 1000, 1), 'relu', seed=0)",
        "idf.reconstruct(idf.attacks.haim(net), candidates=1000, budget=budget)",
    ),
    "reconstruct, splitting": (
        JAX + "net = idf.attacks.random_network((784, 1000, 1), 'relu', seed=0)",
        "idf.reconstruct(idf.attacks.haim(net), candidates=50, splitting=idf.Splitting(every=2), budget=budget)",
    ),
    "corners": (
        JAX + "net = idf.attacks.random_network((784, 1000, 1), 'relu', seed=0)",
        "idf.attacks.corners(net, -1, 1, budget=budget)",
    ),
    "vertices": (
        JAX + "net = idf.attacks.random_network((784, 1000, 1), 'relu', seed=0)",
        "idf.attacks.vertices(net, -1, 1, budget=budget)",
    ),
    "sweep, verdicts": (SWEEP.format("'verdict'", 784, "samples=60000", 1000), "idf.sweep(grid, store=store, workers=1)"),
    "sweep, thresholds": (SWEEP.format("'thresholds'", 60, "seeds=1", 200), "idf.sweep(grid, store=store, workers=1)"),
    "sweep, recoveries": (
        JAX + SWEEP.format("'recovery'", 784, "samples=200, budget=budget", 1000),
        "idf.sweep(grid, store=store, executor=ThreadPoolExecutor(1))",
    ),
    "check, configuration, ReLU": ("", "idf.check(classifier('relu', 5000, (20000, 10000)), budget=budget)"),
    "check, configuration, GELU": ("", "idf.check(classifier('gelu', 5000, (20000, 10000)), budget=budget)"),
    "check, configuration, planted": ("", "idf.check(config(3000, 4000, 5000, 'relu', outputs=10, bias=True), budget=budget)"),
    "check, configuration, planted, GELU": ("", "idf.check(config(3000, 4000, 5000, 'gelu', outputs=10, bias=True), budget=budget)"),
    "check, data, ReLU": (CLASSIFIER.format("relu", 300, "(1000, 500)"), "idf.check(system, data=data, budget=budget)"),
    "check, data, ReLU, two layers": (CLASSIFIER.format("relu", 300, 1000), "idf.check(system, data=data, budget=budget)"),
    "check, data, GELU": (CLASSIFIER.format("gelu", 300, "(1000, 500)"), "idf.check(system, data=data, budget=budget)"),
    "largest_identifiable, GELU": ("", "idf.largest_identifiable(classifier('gelu', 1, (20000, 10000)), budget=budget)"),
    "exposed": ("", "idf.exposed(classifier('relu', 5000, (20000, 10000)))"),
    "recover, ReLU": (JAX + CLASSIFIER.format("relu", 600, "(1000, 800)"), "idf.recover(system, budget=budget)"),
    "recover, GELU": (JAX + CLASSIFIER.format("gelu", 600, "(1000, 800)"), "idf.recover(system, budget=budget)"),
    "recover, first layer": (
        JAX + CLASSIFIER.format("gelu", 200, 2000) + ONE_LAYER.format("{1: system.layers[1]}"),
        "idf.recover(system, budget=budget)",
    ),
    "recover, second layer": (
        JAX + CLASSIFIER.format("gelu", 100, "(1000, 500)") + ONE_LAYER.format("{2: system.layers[2]}"),
        "idf.recover(system, budget=budget)",
    ),
    "recover, noise": (
        JAX + CLASSIFIER.format("relu", 200, "(1000, 500)") + NOISE,
        "idf.recover(system, budget=budget)",
    ),
    "recover, softmax head": (JAX + HEAD.format(28, 30, 100), "idf.recover(head, budget=budget)"),
    "recover, softmax head, one by one": (JAX + HEAD.format(100, 500, 1000), "idf.recover(head, budget=budget)"),
    "recover, known map": (JAX + KNOWN_MAP, "idf.recover(map, budget=budget)"),
    "recover, first and last layer": (
        JAX + CLASSIFIER.format("relu", 100, "(1000, 500)") + ONE_LAYER.format("{1: system.layers[1], 3: system.layers[3]}"),
        "idf.recover(system, budget=budget)",
    ),
    "recover, steps": (JAX + CLASSIFIER.format("gelu", 100, "(500, 300)") + STEPS, "idf.recover(steps, budget=budget)"),
    "complete": (
        "W = numpy.random.default_rng(0).standard_normal((2000, 1000)); W[numpy.random.default_rng(1).random(W.shape) < 0.3] = numpy.nan",
        "idf.complete(W, samples=100, budget=budget)",
    ),
    "defences, ReLU": (JAX + CLASSIFIER.format("relu", 100, "(1000, 500)"), "idf.defences(system, *data, budget=budget)"),
    "audit, ReLU": (JAX + CLASSIFIER.format("relu", 300, "(1000, 500)"), "idf.audit(system, budget=budget)"),
    "plant": ("", "config(10**5, 10**5, 10**5).plant(seed=0)"),
    "plant, weight decay": ("", "config(784, 500, 5000, 'z^3', regime='weight-decay').plant(seed=0)"),
}
"""What is prepared, and what is measured; without a budget a verb refuses by its estimate."""
CHILD = """
import json, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy
import identify as idf
from identify.base.errors import IdentifyError
from identify.base.interrupts import listening
from identify.base.options import CONDITIONS as idf_conditions

def config(d, n, m, activation="z + z^2/2 + z^3", **options):
    return idf.Configuration(inputs=d, samples=n, width=m, activation=activation, **options)

def classifier(activation, n, width):
    return config(784, n, width, activation, outputs=10, bias=True)

budget = {budget}
{prepare}
import os, resource
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print("begin", flush=True)
began, worked = time.monotonic(), time.process_time()
try:
    with listening(signal.SIGINT, signal.SIGTERM):
        outcome, is_typed = type({call}).__name__, True
except IdentifyError as error:
    outcome, is_typed = type(error).__name__, True
except KeyboardInterrupt:
    outcome, is_typed = "KeyboardInterrupt", True
except BaseException as error:
    outcome, is_typed = repr(error)[:200], False
print(json.dumps([outcome, is_typed, time.monotonic() - began, time.process_time() - worked]), flush=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, before, flush=True)
os._exit(0)
"""


@dataclass(frozen=True)
class Measured:
    """How a case ended, after how many seconds (from the signal on, if there was one), its peak memory in MiB and its CPU seconds."""

    outcome: str
    is_typed: bool
    seconds: float
    peak: float
    cpu: float = 0.0
    before: float = 0.0
    """Peak memory before it began, in MiB."""


def measured(name: str, budget: float, *, interrupt: float | None = None, number: int = signal.SIGINT, limit: float = 120.0) -> Measured:
    """One case in a new process; with ``interrupt`` the signal comes so many seconds after it began. It is killed at the ``limit``."""
    prepare, call = CASES[name]
    code = CHILD.format(budget=budget, prepare=prepare, call=call)
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "IDENTIFY_MEMORY": f"{MEMORY:g}"}
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=said, text=True, env=environment, start_new_session=True
        ) as child,
    ):
        assert child.stdout is not None
        killing = threading.Timer(limit, os.killpg, (child.pid, signal.SIGKILL))
        has_begun = child.stdout.readline().strip() == "begin"
        killing.start()
        began = time.monotonic()
        if has_begun and interrupt is not None:
            time.sleep(interrupt)
            began = time.monotonic()
            child.send_signal(number)
        out = child.stdout.read()  # up to the end of the processes that it started, which have this end of the pipe as well
        seconds = time.monotonic() - began
        if not killing.is_alive():
            return Measured(f"killed after {limit:g} s", False, limit, 0.0)
        killing.cancel()
        child.wait()
        said.seek(0)
        err = said.read()
    if not has_begun:
        return Measured(f"not begun: {err[-300:]}", False, 0.0, 0.0)
    lines = out.splitlines()
    if len(lines) != 2:
        return Measured(f"died: {err[-300:]}", False, seconds, 0.0)
    outcome, is_typed, took, cpu = json.loads(lines[0])
    peak, before = (int(word) / (2**20 if sys.platform == "darwin" else 2**10) for word in lines[1].split())
    return Measured(outcome, is_typed, seconds if interrupt is not None else took, peak, cpu, before)


def is_kept(found: Measured, budget: float, by_cpu: bool = False) -> bool:
    seconds = min(found.seconds, found.cpu) if by_cpu else found.seconds
    return found.is_typed and seconds <= max(2 * budget, WITHIN) and found.peak - found.before <= MORE * 2**10 * MEMORY


def is_stopped(found: Measured) -> bool:
    return found.is_typed and found.seconds <= AFTER_INTERRUPT


def _time(seconds: float) -> str:
    return significant(max(seconds, 0.001))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=3.0, help="seconds")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--cpu", action="store_true", help="judge by processor seconds")
    options = parser.parse_args(arguments)
    print(machine("numpy", "jax"), end="\n\n")
    print(
        "| case | ends in | after s | CPU s | peak MiB (before) | after Ctrl-C s | ends in | after SIGTERM s | ends in |\n"
        + "|---" * 9
        + "|"
    )
    failed = []
    for name in options.cases:
        whole = measured(name, options.budget)
        stopped = [measured(name, options.budget, interrupt=0.5, number=number) for number in SIGNALS]
        if not is_kept(whole, options.budget, options.cpu) or not all(map(is_stopped, stopped)):
            failed.append(name)
        cells = [name, whole.outcome, *map(_time, (whole.seconds, whole.cpu)), f"{whole.peak:.0f} ({whole.before:.0f})"]
        cells += [cell for one in stopped for cell in (_time(one.seconds), one.outcome)]
        print("| " + " | ".join(cells) + " |", flush=True)
    print(f"\nOver a limit: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
