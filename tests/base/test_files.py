"""Files and folders that several processes share, that are killed or have no room: whole, of one of them, and nothing left over."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from support.command_line import run
from support.marks import slow

import identify as idf
from identify.auditing.findings import Basis, Finding
from identify.auditing.result import Audit
from identify.base import files
from identify.base.extras import MissingExtraError
from identify.base.files import claim_folder, locked, replacing, together
from identify.checkpoints import ProblemFileError, read_arrays
from identify.report.html import Picture
from identify.report.plots import compare
from identify.sweeps.store import Store
from identify.sweeps.task import Outcome, Task, failed

HOLD = """
import sys, time
from pathlib import Path
from identify.base.files import locked

with locked(Path(sys.argv[1])):
    Path(sys.argv[1], "held").touch()
    time.sleep(60)
"""
TASK = Task(measure="verdict", inputs=2, samples=1, width=3, activation="z + z^2")
TWO_DAYS = 2 * 86_400
CHECK = ["check", "-d", 2, "-n", 1, "-m", 3, "-a", "z + z^2"]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def anew():
    """As if this process had written nowhere yet."""
    files._tidy.cache_clear()


@pytest.fixture(scope="module")
def systems():
    return [idf.Configuration(inputs=2, samples=2, width=8, activation="z + z^2 + z^3").plant(k)[0] for k in (0, 1)]


@pytest.fixture(scope="module")
def audits():
    made = []
    for k in (0, 1):
        report = idf.check(idf.Configuration(inputs=2, samples=1 + k, width=3, activation="z + z^2"))
        pictures = (Picture("Picture", compare(np.eye(4), np.eye(4), shape=(2, 2)), "squares"),) * (2 - k)
        found = [Finding("verdict", "Is it determined?", str(report.verdict), "generic", Basis.PROOF, report=report)]
        found += [Finding(f"found-{k}", "Found?", "yes", "this network", Basis.FLOAT, draw=lambda shown=pictures: shown)]
        made.append(Audit(f"network {k}", tuple(found), {f"proof-{k}": report.certificate()}, seed=k))
    return made


class TestOneFile:
    def test_a_link_stays_a_link(self, tmp_path):
        (tmp_path / "real.txt").write_text("before")
        (tmp_path / "link.txt").symlink_to("real.txt")
        with replacing(tmp_path / "link.txt") as temporary:
            temporary.write_text("after")
        assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "after"

    def test_a_pipe_is_written_to(self, tmp_path, monkeypatch, capsys):
        os.mkfifo(tmp_path / "pipe")
        with ThreadPoolExecutor(1) as reader:
            content = reader.submit((tmp_path / "pipe").read_text)
            assert run(monkeypatch, capsys, *CHECK, "--certificate", tmp_path / "pipe")[0] == 0
            assert (tmp_path / "pipe").is_fifo() and idf.verify(json.loads(content.result(20)))

    def test_a_device_that_is_full(self, tmp_path, monkeypatch, capsys):
        """Not that of the machine: a test that fails would replace it."""
        try:
            os.mknod(tmp_path / "full", stat.S_IFCHR | 0o666, os.makedev(1, 7))
        except OSError as error:
            pytest.skip(f"no device can be made here: {error}")
        for option in ("--certificate", "--html"):
            status, _, err = run(monkeypatch, capsys, *CHECK, option, tmp_path / "full")
            assert status == 2 and err.splitlines()[-1].startswith(f"identify: {tmp_path / 'full'}: ") and "No space left on device" in err
        assert (tmp_path / "full").is_char_device() and names(tmp_path) == {"full"}

    def test_what_a_killed_process_left_goes_after_a_day(self, tmp_path, anew):
        old, young, folder, other = (tmp_path / f".identify-{name}.tmp" for name in ("old", "young", "folder", "other"))
        other = other.with_suffix(".txt")
        for path in (old, young, other):
            path.write_text("half")
        folder.mkdir()
        (folder / "part").write_text("half")
        for path in (old, folder, other):
            os.utime(path, (time.time() - TWO_DAYS,) * 2)
        with replacing(tmp_path / "file") as temporary:
            temporary.write_text("whole")
        assert names(tmp_path) == {"file", young.name, other.name}

    def test_what_others_left_is_theirs(self, tmp_path, anew, monkeypatch):
        """In a folder that several users share, root removes no more than its own files."""
        mine, theirs = (tmp_path / f".identify-{name}.tmp" for name in ("mine", "theirs"))
        for path in (mine, theirs):
            path.write_text("half")
            os.utime(path, (time.time() - TWO_DAYS,) * 2)
        real = Path.lstat

        def owned(path):
            status = real(path)
            fields = list(status)
            fields[stat.ST_UID] += path.name == theirs.name
            return os.stat_result(fields)

        monkeypatch.setattr(Path, "lstat", owned)
        with replacing(tmp_path / "file") as temporary:
            temporary.write_text("whole")
        assert names(tmp_path) == {"file", theirs.name}

    def test_a_link_to_a_folder_is_no_folder(self, tmp_path, anew):
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").write_text("whole")
        link = tmp_path / ".identify-link.tmp"
        link.symlink_to("folder")
        os.utime(link, (time.time() - TWO_DAYS,) * 2, follow_symlinks=False)
        with replacing(tmp_path / "file") as temporary:
            temporary.write_text("whole")
        assert names(tmp_path) == {"file", "folder"} and names(tmp_path / "folder") == {"file"}

    @pytest.mark.parametrize("mode", [0o600, 0o444, 0o664, 0o755])
    @pytest.mark.parametrize("block", ["replacing", "together"])
    def test_mode_and_owner_stay(self, tmp_path, mode, block):
        path = tmp_path / "file"
        path.write_text("before")
        if os.geteuid() == 0:
            os.chown(path, 12345, 23456)
        path.chmod(mode)
        before = path.stat()
        if block == "replacing":
            with replacing(path) as temporary:
                assert stat.S_IMODE(temporary.stat().st_mode) == mode | stat.S_IWUSR  # no reader of the half-written file is new
                temporary.write_text("after")
        else:
            with together(tmp_path) as staged:
                assert stat.S_IMODE(staged.stat().st_mode) == 0o700
                (staged / "file").write_text("after")
        after = path.stat()
        assert path.read_text() == "after" and stat.S_IMODE(after.st_mode) == mode
        assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)

    @pytest.mark.parametrize("allowed", ["group", "none"])
    def test_a_file_of_another_owner(self, tmp_path, monkeypatch, allowed):
        """Only root gives files away; permissions of a group that the new file does not have are not given to another."""
        path = tmp_path / "file"
        path.write_text("before")
        path.chmod(0o4664)
        real, asked = Path.stat, []

        def owned(self, **options):
            status = real(self, **options)
            fields = list(status)
            fields[stat.ST_UID] += self == path
            return os.stat_result(fields)

        def chown(name, user, group):
            asked.append((user, group))
            if user != -1 or allowed == "none":
                raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(Path, "stat", owned)
        monkeypatch.setattr(os, "chown", chown)
        with replacing(path) as temporary:
            temporary.write_text("after")
        group = real(path).st_gid
        assert asked[:2] == [(real(path).st_uid + 1, group), (-1, group)]
        assert stat.S_IMODE(real(path).st_mode) == (0o664 if allowed == "group" else 0o604)

    def test_a_new_file_has_the_usual_mode(self, tmp_path):
        (tmp_path / "other").touch()
        with replacing(tmp_path / "file") as temporary:
            temporary.write_text("new")
        assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode

    @pytest.mark.parametrize("block", ["replacing", "together"])
    def test_the_folder_is_flushed_after_the_names(self, tmp_path, monkeypatch, block):
        done, flush, rename = [], os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", lambda handle: (done.append(stat.S_ISDIR(os.fstat(handle).st_mode)), flush(handle)))
        monkeypatch.setattr(os, "replace", lambda *paths: (done.append("rename"), rename(*paths)))
        with replacing(tmp_path / "file") if block == "replacing" else together(tmp_path) as place:
            (place if block == "replacing" else place / "file").write_text("whole")
        assert done == [False, "rename", True]

    @pytest.mark.parametrize(("number", "told"), [(errno.EINVAL, False), (errno.EIO, True)])
    def test_folders_that_cannot_be_flushed(self, tmp_path, monkeypatch, number, told):
        """Some systems cannot; a disk that fails is told."""
        real = os.fsync

        def flush(handle):
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                raise OSError(number, os.strerror(number))
            real(handle)

        monkeypatch.setattr(os, "fsync", flush)
        with pytest.raises(OSError, match="file") if told else nullcontext(), replacing(tmp_path / "file") as temporary:
            temporary.write_text("whole")
        assert (tmp_path / "file").read_text() == "whole"

    def test_an_interrupt_leaves_nothing(self, tmp_path):
        for block in (replacing(tmp_path / "file"), together(tmp_path)):
            with pytest.raises(KeyboardInterrupt), block as temporary:
                (temporary if block.gen.__name__ == "replacing" else temporary / "file").write_text("half")
                raise KeyboardInterrupt
            assert not names(tmp_path)


class TestTogether:
    def test_all_or_none(self, tmp_path):
        (tmp_path / "a").write_text("before")
        (tmp_path / "c").mkdir()
        with pytest.raises(OSError, match="Is a directory") as refusal, together(tmp_path) as staged:
            for name in "abc":
                (staged / name).write_text("after")
        assert refusal.value.filename == str(tmp_path)
        assert names(tmp_path) == {"a", "c"} and (tmp_path / "a").read_text() == "before"

    def test_of_two_writers_one_is_left(self, tmp_path, monkeypatch):
        """Renames are slow, so that they would meet."""
        real = os.replace
        monkeypatch.setattr(os, "replace", lambda *paths: (time.sleep(0.02), real(*paths)))
        start = threading.Barrier(2)

        def write(content: str) -> None:
            start.wait()
            with together(tmp_path) as staged:
                for name in "abcde":
                    (staged / name).write_text(content)

        with ThreadPoolExecutor(2) as writers:
            list(writers.map(write, ("one", "two")))
        assert len({(tmp_path / name).read_text() for name in "abcde"}) == 1 and names(tmp_path) == set("abcde")

    def test_the_lock_ends_with_its_process(self, tmp_path):
        with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path]) as process:
            while not (tmp_path / "held").exists():
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
        with ThreadPoolExecutor(1) as other:
            assert other.submit(lambda: [None for _ in [locked(tmp_path).__enter__()]]).result(20) == [None]


class TestClaims:
    @pytest.mark.parametrize("links", [True, False])
    def test_the_first_has_the_folder(self, tmp_path, monkeypatch, links):
        """All of them look before any of them has written."""
        monkeypatch.setattr(files, "_tidy", lambda folder: start.wait())
        if not links:
            monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(95, "Operation not supported")))

        def claim(number: int) -> bool:
            try:
                claim_folder(tmp_path / "folder", f"question {number % 2}", "system")
            except ValueError as error:
                assert "belongs to another system" in str(error)
                return False
            return True

        for _ in range(5):
            start = threading.Barrier(4)
            with ThreadPoolExecutor(4) as several:
                has = list(several.map(claim, range(4)))
            label = tmp_path / "folder" / "question.txt"
            winner = int(label.read_text()[-1])
            assert [k for k in range(4) if has[k]] == [winner, winner + 2] if links else any(has) and not any(has[1 - winner :: 2])
            assert names(tmp_path / "folder") == {"question.txt"}
            label.unlink()

    def test_a_damaged_label_is_refused(self, tmp_path):
        (tmp_path / "question.txt").write_bytes(b"\xff\xfe")
        with pytest.raises(ValueError, match="belongs to another system"):
            claim_folder(tmp_path, "question", "system")


class TestStores:
    @pytest.mark.slow
    def test_recoveries_at_the_same_time(self, tmp_path, systems):
        def solve(folder, k=0):
            return idf.recover(systems[k], samples=2, method="projection", starts=8, checkpoint=folder).X.tobytes()

        alone = solve(None)
        assert beside(lambda number: solve(tmp_path / "same")) == [alone] * 3
        found = beside(lambda number: solve(tmp_path / "other", number % 2))
        assert found in ([alone, None, alone], [None, solve(None, 1), None])
        assert all(not name.startswith(".") for name in names(tmp_path / "same") | names(tmp_path / "other"))

    def test_attacks_at_the_same_time(self, tmp_path):
        from identify.attacks import MLP, buzaglo

        def run(folder, k=0):
            network = MLP({"W1": np.eye(2) + k, "W2": np.ones((1, 2))}, "z + z^2/2")
            attack = buzaglo(network, kind="weight-decay", rate=1e-3)
            return idf.reconstruct(attack, candidates=2, steps=10, trials=2, checkpoint=folder).X.tobytes()

        alone = run(None)
        assert beside(lambda number: run(tmp_path / "same")) == [alone] * 3
        assert beside(lambda number: run(tmp_path / "other", number % 2)) in ([alone, None, alone], [None, run(None, 1), None])

    def test_a_checkpoint_belongs_to_its_labels(self, tmp_path):
        """The same parameters with other labels are other equations."""
        net = idf.TwoLayerNetwork(np.random.default_rng(0).standard_normal((8, 2)), np.ones(8), "z + z^2")
        for labels, refused in (([1, -1], False), ([1, -1], False), ([1, 1], True)):
            system = idf.KKTSystem.max_margin(net, labels=labels)
            with pytest.raises((ValueError, idf.RecoveryError)) as error:
                idf.recover(system, samples=2, method="joint", starts=1, checkpoint=tmp_path)
            assert ("belongs to another system" in str(error.value)) is refused

    def test_a_part_of_another_size_is_not_taken(self, tmp_path, systems):
        """The size of a part follows the memory of the machine."""
        from identify.recovery.multistart import Search

        sizes = []
        for size in (4, 2, 4):
            search = Search(0, 4, 1e-6, checkpoint=tmp_path)
            for _ in search.chunks("name", lambda rng, count: (sizes.append(count), {"X": rng.standard_normal(count)})[1], size):
                pass
            assert search.starts_done == 4
        assert sizes == [4, 2, 2]

    def test_a_failure_that_comes_late_is_not_kept(self, tmp_path, monkeypatch):
        """The result arrives between the question whether there is one, and the failure."""
        store, real, asked = Store.claim(tmp_path / "runs"), Store.is_done, threading.Event()

        def slow(self, key):
            found = real(self, key)
            asked.set()
            time.sleep(0.2)
            return found

        monkeypatch.setattr(Store, "is_done", slow)
        with ThreadPoolExecutor(1) as other:
            late = other.submit(store.save, failed(TASK, "memory"))
            asked.wait(20)
            store.save(Outcome(task=TASK, state="done", result={"verdict": "UNIQUE"}))
            late.result(20)
        assert store.load(TASK.key).state == "done"


def beside(work) -> list:
    """What three threads get, begun together; None for one that is refused."""
    start = threading.Barrier(3)

    def one(number: int):
        start.wait()
        try:
            return work(number)
        except ValueError as error:
            assert "belongs to another" in str(error)
            return None

    with ThreadPoolExecutor(3) as several:
        return list(several.map(one, range(3)))


class TestAudits:
    def test_the_files_of_an_older_audit_go_and_others_stay(self, audits, tmp_path):
        for name in ("notes.png", "found-0.txt", "found-0-x.png"):
            (tmp_path / name).write_text("mine")
        mine = names(tmp_path)
        first = {path.name for path in audits[0].save(tmp_path)}
        assert first == {"report.html", "report.json", "found-0-1.png", "found-0-2.png", "proof-0.certificate.json"}
        second = {path.name for path in audits[1].save(tmp_path)}
        assert second == {"report.html", "report.json", "found-1.png", "proof-1.certificate.json"} and names(tmp_path) == mine | second

    @pytest.mark.parametrize(
        "older", [b"", b"[]", b'{"findings": [1], "certificates": []}', b'{"findings": [], "certificates": [["../x"]]}']
    )
    def test_what_is_no_older_audit_is_left_alone(self, audits, tmp_path, older):
        (tmp_path / "report.json").write_bytes(older)
        (tmp_path / "found-0.png").write_text("mine")
        assert names(tmp_path) - {path.name for path in audits[1].save(tmp_path)} == {"found-0.png"}

    def test_a_full_disk_leaves_the_older_audit(self, audits, tmp_path, monkeypatch):
        audits[0].save(tmp_path)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        calls, real = [], os.fsync

        def full(handle):
            calls.append(handle)
            if len(calls) == 4:
                raise OSError(28, "No space left on device")
            real(handle)

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(ValueError, match="out: .* cannot be written .No space left on device"):
            audits[1].save(tmp_path)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_without_what_draws_pages_the_rest_is_written(self, audits, tmp_path, monkeypatch):
        from identify.auditing import saving

        def missing(*_):
            raise MissingExtraError("jinja2", "pages")

        monkeypatch.setattr(saving, "write_audit_page", missing)
        with pytest.raises(MissingExtraError):
            audits[1].save(tmp_path)
        assert names(tmp_path) == {"report.json", "proof-1.certificate.json"}


@pytest.mark.parametrize(
    ("command", "said"), [("recover", "Recovered 2 samples"), slow("audit", "PROVED UNIQUE"), ("attack", "Reconstruction(")]
)
def test_an_answer_is_told_where_there_is_no_room_for_its_file(monkeypatch, capsys, tmp_path, command, said):
    system, truth = idf.Configuration(inputs=3, samples=2, width=6, activation="z + z^2 + z^3").plant(seed=1)
    problem, network = idf.save_problem(tmp_path / "p.npz", system, truth.X, truth.c), tmp_path / "n.npz"
    np.savez(network, W1=system.network.W, W2=system.network.A, X=truth.X, y=np.array([1.0, -1.0]))
    (tmp_path / "out").mkdir()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    options = ["--steps", 1] if command == "attack" else []
    out = tmp_path / "out" / ("audit" if command == "audit" else "x.npz")
    status, text, err = run(monkeypatch, capsys, command, network if command == "attack" else problem, *options, "--out", out)
    assert status == 2 and said in text and "Written" not in text and "No space left on device" in err.splitlines()[-1]


def test_entries_that_are_hidden_by_a_wrong_length(tmp_path):
    """One bit of the length of a comment, and the entries after it are a comment."""
    np.savez(tmp_path / "n.npz", W=np.ones(3), a=np.ones(2), target=np.ones(2))
    content = bytearray((tmp_path / "n.npz").read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 32] ^= content.index(b"PK\x01\x02", content.index(b"PK\x01\x02", entry + 4) + 4) - content.index(
        b"PK\x01\x02", entry + 4
    )
    (tmp_path / "n.npz").write_bytes(content)
    with np.load(tmp_path / "n.npz") as found:
        assert len(found.files) == 2  # what NumPy makes of it
    with pytest.raises(ProblemFileError, match="damaged archive .an entry has a comment"):
        read_arrays(tmp_path / "n.npz")
