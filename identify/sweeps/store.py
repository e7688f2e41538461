"""The store of outcomes: one JSON file for each task, named by the task's hash, written completely or not at all.

A file is trusted only if it is complete, its checksum is right, and the hash of the task inside is its name. So a file
that was cut short, changed or renamed is never taken for a result: its task is run again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from identify.base.errors import InputError
from identify.base.files import claim_folder, locked, replacing
from identify.sweeps.task import FORMAT, Outcome, digest, task_of

QUESTION = "identify sweep"
"""Label of the folder; grids may share one, because files are named by tasks."""
_NAME = re.compile(r"[0-9a-f]{64}\.json")


class StoreError(InputError):
    """A folder that is not a store of sweeps, or cannot be used as one."""


class DamagedError(InputError):
    """A file of a store that cannot be trusted."""


@dataclass(frozen=True)
class Store:
    """Outcomes in a folder. Several sweeps may write into one at the same time."""

    folder: Path

    @classmethod
    def claim(cls, folder: str | Path) -> Store:
        """Make the folder, or continue with it. Raises :class:`StoreError` if it belongs to something else."""
        try:
            claim_folder(Path(folder), QUESTION, "kind of work", name="store")
        except ValueError as error:
            raise StoreError(str(error)) from None
        return cls(Path(folder))

    @classmethod
    def open(cls, folder: str | Path) -> Store:
        """The store in an existing folder. Raises :class:`StoreError` if there is none."""
        label = Path(folder) / "question.txt"
        if not label.is_file() or label.read_text(encoding="utf-8", errors="replace") != QUESTION:
            raise StoreError(f"store: {folder} holds no sweep; expected the folder that identify sweep --store wrote")
        return cls(Path(folder))

    def path(self, key: str) -> Path:
        """The file of a task's outcome, in one of 256 folders, since some file systems are slow with many files in one."""
        return self.folder / key[:2] / f"{key}.json"

    def keys(self) -> Iterator[str]:
        """Hashes of all tasks with a file, in order."""
        for folder in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            yield from (path.stem for path in sorted(folder.iterdir()) if _NAME.fullmatch(path.name) and path.name[:2] == folder.name)

    def load(self, key: str) -> Outcome | None:
        """The outcome of the task with this hash; None if there is none.

        Raises
        ------
        DamagedError
            For a file that was cut short, changed, or belongs to another task.
        """
        path = self.path(key)
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            raise DamagedError(f"store: {path} is cut short or no JSON; sweep again to replace it") from None
        except OSError as error:
            raise StoreError(f"store: {path} cannot be read ({error.strerror}); choose a folder that is readable") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DamagedError(f"store: {path} is not in format {FORMAT}; sweep again to replace it")
        claimed = content.pop("sha256", None)
        if digest(content) != claimed:
            raise DamagedError(f"store: {path} was changed after it was written; sweep again to replace it")
        task = task_of(content["task"])
        if task.key != key:
            raise DamagedError(f"store: {path} holds the result of another task; sweep again to replace it")
        return Outcome(**{name: content[name] for name in ("state", "result", "error", "seconds", "versions")}, task=task)

    def save(self, outcome: Outcome) -> None:
        """Write an outcome; a failure never replaces a result."""
        path = self.path(outcome.task.key)
        content: dict[str, Any] = {one.name: getattr(outcome, one.name) for one in fields(outcome)}
        content |= {"task": outcome.task.to_dict(), "format": FORMAT}
        try:
            path.parent.mkdir(exist_ok=True)
            with locked(path.parent):  # between the question whether there is a result, and the failure
                if outcome.state == "failed" and self.is_done(outcome.task.key):
                    return
                with replacing(path) as temporary:
                    temporary.write_text(json.dumps(content | {"sha256": digest(content)}, indent=1, allow_nan=False), encoding="utf-8")
        except OSError as error:
            raise StoreError(f"store: {path} cannot be written ({error.strerror}); make room, then sweep again to go on") from None

    def is_done(self, key: str) -> bool:
        """Whether the store has a result that can be trusted."""
        try:
            result = self.load(key)
        except DamagedError:
            return False
        return result is not None and result.state == "done"
