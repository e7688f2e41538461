"""Every benchmark, one after the other, into one folder.

``python benchmarks/run.py --out DIR`` keeps what each program prints in a file of its own and skips programs whose file exists, so that an
interrupted run goes on where it was; ``DIR/all.md`` has all of them. ``--quick`` does small cases. Hours on two cores; nothing
else should run on the machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from identify.base.files import claim_folder, replacing

HERE = Path(__file__).parent


class Program(NamedTuple):
    """A title, and the command for full and for small cases; ``{out}`` is the folder."""

    title: str
    full: tuple[str, ...]
    quick: tuple[str, ...]


PROGRAMS = {
    "fuzz": Program("Malformed input", ("fuzz.py",), ("fuzz.py", "--inputs", "1000")),
    "faults": Program("Faults", ("faults.py",), ("faults.py", "--quick")),
    "soak": Program("Soak", ("soak.py",), ("soak.py", "--rounds", "3", "--parts", "checks", "recoveries")),
    "startup": Program("Start-up", ("startup.py",), ("startup.py",)),
    "symbolic": Program("Writing the equations down", ("symbolic.py",), ("symbolic.py", "--quick")),
    "ranks": Program("Exact ranks", ("ranks.py",), ("ranks.py", "--quick")),
    "check": Program("Verdicts", ("check.py",), ("check.py", "--quick")),
    "growth": Program("Verdicts beside Groebner bases", ("growth.py",), ("growth.py", "--quick")),
    "images": Program("Images from one gradient", ("images.py",), ("images.py", "--samples", "6", "--width", "60", "--side", "8")),
    "recovery": Program("Recovery by search", ("recovery.py", "--scipy-seconds", "2"), ("recovery.py", "--quick")),
    "speed": Program("Iterations of the attacks", ("attacks.py", "--speed"), ()),
    "attacks": Program(
        "What the attacks find", ("attacks.py", "--store", "{out}/attacks"), ("attacks.py", "--quick", "--store", "{out}/attacks")
    ),
    "soundness": Program(
        "Verdicts beside computer algebra",
        ("soundness.py", "--instances", "500", "--out", "{out}/soundness.jsonl"),
        ("soundness.py", "--instances", "5", "--out", "{out}/soundness.jsonl"),
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables; one that exists is continued")
    parser.add_argument("--quick", action="store_true", help="small cases")
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, default=list(PROGRAMS), help="these alone")
    given = parser.parse_args()
    claim_folder(given.out, f"benchmarks {'quick' if given.quick else 'full'}", "benchmarks")
    failed = []
    for name in given.only:
        program = PROGRAMS[name]
        arguments = [part.format(out=given.out) for part in (program.quick if given.quick else program.full)]
        path = given.out / f"{name}.md"
        if path.exists() or not arguments:
            continue
        print(f"{name}: python benchmarks/{' '.join(arguments)}", flush=True)
        started = time.perf_counter()
        done = subprocess.run([sys.executable, HERE / arguments[0], *arguments[1:]], stdout=subprocess.PIPE, text=True)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
        if done.returncode:
            failed.append(name)
            continue
        with replacing(path) as temporary:
            command = f"`python benchmarks/{' '.join(arguments)}`"
            temporary.write_text(f"## {program.title}\n\n{command}\n\n{done.stdout.strip()}\n", encoding="utf-8")
    tables = [path.read_text(encoding="utf-8") for path in (given.out / f"{name}.md" for name in PROGRAMS) if path.exists()]
    with replacing(given.out / "all.md") as temporary:
        temporary.write_text("# Benchmarks\n\n" + "\n".join(tables), encoding="utf-8")
    if failed:
        print(f"failed: {', '.join(failed)}; what they printed is above", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
