"""Files that are written whole or not at all, and folders that belong to one question."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write in this block; it then takes the place of ``path`` in one step, unless the block fails.

    A reader sees the old file or the new one, and nothing between. Raises OSError with the name of the file where it cannot be written.
    """
    # not tempfile: its files are readable by their owner only, and the new file would inherit that
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:  # of the temporary file, or without a name where the disk is full
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def claim_folder(folder: Path, question: str, subject: str, *, name: str = "checkpoint") -> None:
    """Make a folder for the results of a question, or see that it belongs to it.

    Raises
    ------
    ValueError
        When it belongs to another question (``subject`` names what the question is about), or cannot be used; ``name`` is that of the
        argument which named the folder.
    """
    label = folder / "question.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not label.exists():
            with replacing(label) as temporary:
                temporary.write_text(question, encoding="utf-8")
        elif label.read_text(encoding="utf-8") != question:
            raise ValueError(f"{name}: {folder} belongs to another {subject} or to other options; choose another folder, or delete it")
    except OSError as error:
        raise ValueError(f"{name}: {folder} cannot be used ({error.strerror}); choose a folder that is writable") from None
