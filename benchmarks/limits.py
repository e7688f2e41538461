"""How well every verb keeps to its budget at sizes a hundred times too large, and how soon an interrupt or a termination ends it.

``python benchmarks/limits.py`` runs each case in a new process: once to its end, once with Ctrl-C half a second in, and once with
SIGTERM, and prints one markdown table. The process takes the signals as the command line does. A verb has to end within twice its
budget, or five seconds, in an answer or an error of this package, take at most one and a half times the memory that it is allowed, and end
within two seconds of the signal; so have the processes that it started. A verb without a budget gets a size at which it takes seconds, or
refuses. ``--cases`` names some; without them all are run. With ``--cpu`` seconds to the end are those of the processor, if they are fewer:
for a machine that does other things as well.
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

from limiting.cases import CASES
from measuring import machine, significant

WITHIN = 5.0
"""Seconds that every verb may take, whatever its budget."""
AFTER_INTERRUPT = 2.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)
MEMORY = 2.0
"""GiB that one piece of work may take (IDENTIFY_MEMORY)."""
MORE = 1.5
"""Memory that a verb may take beyond what was there before it, relative to that."""
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
def worked():  # CPU seconds, those of processes that have ended among them
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])

began, earlier = time.monotonic(), worked()
try:
    with listening(signal.SIGINT, signal.SIGTERM):
        outcome, is_typed = type({call}).__name__, True
except IdentifyError as error:
    outcome, is_typed = type(error).__name__, True
except KeyboardInterrupt:
    outcome, is_typed = "KeyboardInterrupt", True
except BaseException as error:
    outcome, is_typed = repr(error)[:200], False
print(json.dumps([outcome, is_typed, time.monotonic() - began, worked() - earlier]), flush=True)
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
