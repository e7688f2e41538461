"""Files that are written whole or not at all, alone or several together, and folders that belong to one question."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from identify.base.errors import InputError

DAY = 86_400.0
"""Seconds after which what is half written belongs to a process that was killed."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write in this block; it then takes the place of ``path`` in one step, unless the block fails.

    A reader sees the old file or the new one, and nothing between; after a power cut, too. The new file has the mode, and as far as the
    system permits the owner and group, of the old one. A link stays a link, and a device or a pipe is written to as it is.
    Raises OSError with the name of the file when it cannot be written.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            yield path
            return
        place = Path(os.path.realpath(path))
        with _beside(place) as temporary:
            _resemble(temporary, place, finished=False)
            yield temporary
            _flush(temporary)
            _resemble(temporary, place, finished=True)
            os.replace(temporary, place)
        _flush_names(place.parent)
    except OSError as error:  # of the temporary file, or without a name if the disk is full
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None


@contextmanager
def together(folder: Path, outdated: Callable[[Path], Iterable[Path]] = lambda folder: ()) -> Iterator[Path]:
    """A new folder to write files in; they then take their places in ``folder``, one right after the other, unless the block fails.

    ``folder`` is made. Of processes that write to one at the same time, it holds the files of the last. A new file has the mode and
    owner of the one whose place it takes. Files of ``folder`` that are ``outdated``, and not among the new ones, are removed.
    Raises OSError with the name of the folder when it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staged = _temporary(folder)
        staged.mkdir(mode=0o700)
        try:
            yield staged
            files = {path.name: path for path in sorted(staged.iterdir())}
            for name, path in files.items():
                _flush(path)
                _resemble(path, folder / name, finished=True)
            with locked(folder):
                if any((folder / name).is_dir() for name in files):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                old = [path for path in outdated(folder) if path.name not in files]
                for name, path in files.items():
                    os.replace(path, folder / name)
                for path in old:
                    path.unlink(missing_ok=True)
                _flush_names(folder)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(folder)) from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process at a time is in this block with this folder, if the file system has locks; a process that dies leaves none."""
    try:
        from fcntl import LOCK_EX, flock

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with suppress(OSError):
            flock(handle, LOCK_EX)
        yield
    finally:
        os.close(handle)


def claim_folder(folder: Path, question: str, subject: str, *, name: str = "checkpoint") -> None:
    """Make a folder for the results of a question, or see that it belongs to it. Of several processes, the first has it.

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
            _create(label, question)
        if label.read_text(encoding="utf-8", errors="replace") != question:
            raise InputError(f"{name}: {folder} belongs to another {subject} or to other options; choose another folder, or delete it")
    except OSError as error:
        raise InputError(f"{name}: {folder} cannot be used ({error.strerror}); choose a folder that is writable") from None


def _create(path: Path, text: str) -> None:
    """Write a file, unless there is one: a rename would take the place of what another process has written meanwhile."""
    with _beside(path) as temporary, suppress(FileExistsError):
        temporary.write_text(text, encoding="utf-8")
        _flush(temporary)
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            with path.open("x", encoding="utf-8") as file:
                file.write(text)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """The name of a temporary file in the same folder, gone after the block."""
    temporary = _temporary(path.parent)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(folder: Path) -> Path:
    # not tempfile: its files are readable by their owner only, and the new file would inherit that
    _tidy(folder)
    return folder / f".identify-{secrets.token_hex(8)}.tmp"


@lru_cache(maxsize=4096)
def _tidy(folder: Path) -> None:
    """Remove what this user's processes that were killed have left here, once for each folder."""
    with suppress(OSError):
        for path in folder.glob(".identify-*.tmp"):
            with suppress(OSError):  # meanwhile another process may tidy here
                status = path.lstat()
                if status.st_mtime < time.time() - DAY and _is_own(status):
                    shutil.rmtree(path) if stat.S_ISDIR(status.st_mode) else path.unlink()


def _is_own(status: os.stat_result) -> bool:
    """Whether a file belongs to the user of this process; in a shared folder root, too, leaves those of others alone."""
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def _resemble(temporary: Path, place: Path, *, finished: bool) -> None:
    """Give a file the mode, owner and group of the one whose place it will take, if there is one.

    Before it is ``finished`` it is made, empty, and its owner may write: nobody can read what the old file does not show them.
    """
    try:
        old = place.stat()
    except OSError:  # nothing is there, or the folder cannot be searched: writing there says so
        return
    if not stat.S_ISREG(old.st_mode):
        return
    if not finished:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600))
    new, mode = temporary.stat(), stat.S_IMODE(old.st_mode)
    if hasattr(os, "chown") and (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.chown(temporary, old.st_uid, old.st_gid)
        except OSError:  # only root gives files away: the group, then, if this user belongs to it
            mode &= ~(stat.S_ISUID | stat.S_ISGID)
            try:
                os.chown(temporary, -1, old.st_gid)
            except OSError:
                mode &= ~stat.S_IRWXG  # these were for another group
    temporary.chmod(mode if finished else mode | stat.S_IWUSR)


def _flush(path: Path) -> None:
    """Onto the disk, so that after a power cut a name never stands for an empty file."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR}
"""Errors of systems on which a folder cannot be opened or flushed; they keep names safe themselves, or not at all."""


def _flush_names(folder: Path) -> None:
    """Onto the disk, so that after a power cut the folder has the new names and not the old ones."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
