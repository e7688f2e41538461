"""Malformed input: readers, the command line and attacks must answer, or refuse in one line; none may crash, hang or fill the memory.

``python benchmarks/fuzz.py`` draws 10^5 files and command lines (``--inputs``), from one seed, and prints a table. Files are valid
ones with damage: bits, bytes, lengths and parts changed, also inside archives whose checksums are right; and archives of arrays that
hypothesis draws. Attacks are called with odd numbers, beside them. A target is a process of its own, so that even a crash of the
interpreter is counted. ``--target NAME --atheris SECONDS`` fuzzes one reader guided by coverage, where atheris is installed. What fails is
kept in the folder ``--keep``.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType

import numpy as np
from fuzzing import attacks, commands, judge, targets
from measuring import machine, peak

SHARES = {"npz": 20, "arrays": 6, "safetensors": 10, "state_dict": 6, "msgpack": 10, "equinox": 8, "onnx": 4, "shard": 6, "certificate": 8}
SHARES |= {"update, npz": 6, "update, pt": 4, "two checkpoints": 4, "payloads": 4, "pickles": 2}
"""Per cent of the inputs; the rest are command lines."""
ATTACKS = 40
"""One call of an attack beside so many inputs: most of them compile."""
OUTCOMES = ("refused", "answered", "crash", "hang", "memory")
SECONDS, MEBIBYTES, COMMANDS_MEBIBYTES = 20.0, 1024, 8192
"""Limits: for an input; of address space for all inputs of a target. Command lines compile, and what is compiled stays."""


PATIENCE = 6.0
"""An input that had the processor for less than half of its time gets so many times more."""
GUIDED_MEBIBYTES = 4096
WATCHED = ("identify.", "zipfile", "json.", "numpy.lib", "safetensors", "msgpack")
"""Modules whose branches guide the fuzzing by coverage."""


class TooLong(BaseException):
    """An input took more than its time."""


def limited(work: Callable[[], str], seconds: float) -> str:
    """What ``work`` says, or ``hang`` or ``memory``."""

    began, worked = time.monotonic(), time.process_time()

    def stop(*_):
        if time.process_time() - worked < seconds / 2 and time.monotonic() - began < PATIENCE * seconds:  # others had the processor
            signal.setitimer(signal.ITIMER_REAL, seconds)
            return
        raise TooLong

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(2 * PATIENCE * seconds, exit=True)  # where no signal is heard
    try:
        return work()
    except TooLong:
        return "hang"
    except MemoryError:
        return "memory"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()


def run_target(name: str, count: int, seed: int, keep: Path | None) -> dict:
    """Outcomes of that many inputs, in this process."""
    judge.allow(COMMANDS_MEBIBYTES if name in ("attacks", "commands") else MEBIBYTES)
    counts, digest, slowest = Counter(), hashlib.sha256(), 0.0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        os.chdir(folder)
        for number, (shown, work) in enumerate(cases(name, count, seed, Path(folder))):
            digest.update(shown)
            started = time.perf_counter()
            outcome = limited(work, SECONDS)
            slowest = max(slowest, time.perf_counter() - started)
            counts[outcome.partition(":")[0]] += 1
            if keep is not None and outcome not in ("refused", "answered"):
                (keep / f"{name}-{number}").write_bytes(shown)
                print(f"{name} {number}: {outcome}", file=sys.stderr)
        os.chdir("/")
    return {"counts": counts, "digest": digest.hexdigest()[:12], "slowest": slowest, "peak": peak()}


def cases(name: str, count: int, seed: int, folder: Path) -> Iterator[tuple[bytes, Callable[[], str]]]:
    """Inputs, as bytes that say which one it is, and what to do with each."""
    if name == "attacks":
        for call in attacks.calls(count, seed):
            yield str(call).encode("utf-8", "backslashreplace"), lambda asked=call: attacks.judged(asked)
        return
    if name == "commands":
        for arguments in commands.lines(count, seed, folder):
            yield "\0".join(arguments).encode("utf-8", "surrogateescape"), lambda a=arguments: judge.command(a)
        return
    target = targets.TARGETS[name]
    path = folder / f"input{target.suffix}"
    for content in target.inputs(count, seed):
        path.write_bytes(content)
        yield content, lambda: judge.file(target, path)


def in_a_process(name: str, count: int, given: argparse.Namespace) -> dict:
    command = [sys.executable, __file__, "--inputs", str(count), "--seed", str(given.seed), "--target", name]
    command += ["--keep", str(given.keep.resolve())] if given.keep else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        return {"counts": {"crash": 1}, "digest": f"died: {done.returncode}", "slowest": 0.0, "peak": 0.0}
    return json.loads(done.stdout)


def guided(name: str, seconds: int, seed: int, keep: Path | None) -> None:
    """Fuzzing by coverage of this package and of Python's own readers; ends this process, not with 0 where an input fails."""
    import atheris

    target = targets.TARGETS[name]
    judge.allow(GUIDED_MEBIBYTES)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        corpus, path = Path(folder) / "corpus", Path(folder) / f"input{target.suffix}"
        corpus.mkdir()
        for number, content in enumerate(target.valid()):
            (corpus / str(number)).write_bytes(content)

        def one(content: bytes) -> None:
            path.write_bytes(content)
            outcome = judge.file(target, path)
            if outcome not in ("refused", "answered"):
                raise AssertionError(outcome)

        def changed(content: bytes, size: int, seed: int) -> bytes:
            """Damage that keeps checksums right, half of the time: coverage alone does not find its way through them."""
            if seed % 2:
                return atheris.Mutate(content, size)
            rng, files = np.random.default_rng(seed), target.valid()
            return target.damage(files[rng.integers(len(files))], rng, files)[:size]

        for content in target.valid():  # loads what is to be instrumented
            one(content)
        functions = [item for item in gc.get_objects() if isinstance(item, FunctionType)]
        for function in functions:
            if (function.__module__ or "").startswith(WATCHED):
                atheris.instrument_func(function)
        options = [f"-max_total_time={seconds}", f"-seed={seed + 1}", f"-timeout={SECONDS:g}", "-rss_limit_mb=4096", "-max_len=65536"]
        options += [f"-artifact_prefix={keep.resolve()}/{name}-"] if keep else []
        atheris.Setup([name, *options, str(corpus)], one, custom_mutator=changed)
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="in all")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same inputs")
    parser.add_argument("--keep", type=Path, help="folder for inputs that fail")
    parser.add_argument("--target", choices=(*SHARES, "attacks", "commands"), help="this one alone, all inputs; prints JSON")
    parser.add_argument("--atheris", type=int, metavar="SECONDS", help="with --target: guided by coverage")
    given = parser.parse_args()
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    if given.atheris:
        guided(given.target or "npz", given.atheris, given.seed, given.keep)
    if given.target:
        print(json.dumps(run_target(given.target, given.inputs, given.seed, given.keep)))
        return 0
    counts = {name: given.inputs * share // 100 for name, share in SHARES.items()}
    counts["commands"] = given.inputs - sum(counts.values())
    counts["attacks"] = given.inputs // ATTACKS
    print("| input | number | " + " | ".join(OUTCOMES) + " | slowest, s | peak MiB | inputs (SHA-256) |")
    print("|---" * (len(OUTCOMES) + 5) + "|")
    total: Counter = Counter()
    for name, count in counts.items():
        reason = targets.TARGETS[name].missing() if name in targets.TARGETS else None
        if reason:
            print(f"| {name} | 0 | " + "– | " * len(OUTCOMES) + f"– | – | {reason} |", flush=True)
            continue
        found = in_a_process(name, count, given)
        total.update(found["counts"])
        cells = [str(found["counts"].get(outcome, 0)) for outcome in OUTCOMES]
        print(
            f"| {name} | {count} | " + " | ".join(cells) + f" | {found['slowest']:.2f} | {found['peak']:.0f} | {found['digest']} |",
            flush=True,
        )
    print(f"| all | {sum(total.values())} | " + " | ".join(str(total[outcome]) for outcome in OUTCOMES) + " | | | |")
    more = f"command lines and attacks {COMMANDS_MEBIBYTES} MiB"
    print(f"\nSeed {given.seed}; limits: {SECONDS:g} s, {MEBIBYTES} MiB ({more}). {machine('numpy')}")
    return int(any(total[outcome] for outcome in OUTCOMES[2:]))


if __name__ == "__main__":
    sys.exit(main())
