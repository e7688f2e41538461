"""Nothing leaves the machine: every command runs with the network out of reach, and asks for it nowhere."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from support.command_line import run
from support.marks import slow

import identify as idf
from identify import cli

REACHES = ("connect", "connect_ex", "sendto", "sendmsg")
ASKS = ("getaddrinfo", "gethostbyname", "create_connection")


@pytest.fixture
def asked(monkeypatch):
    """What was asked of the network; sockets between processes of one machine are none of it."""
    seen: list[str] = []

    class Offline(socket.socket):
        def __getattribute__(self, name):
            if name in REACHES and socket.socket.__getattribute__(self, "family") != getattr(socket, "AF_UNIX", None):
                seen.append(name)
                raise OSError("the network is out of reach")
            return super().__getattribute__(name)

    def refuse(*arguments, **options):
        seen.append("a name")
        raise OSError("the network is out of reach")

    monkeypatch.setattr(socket, "socket", Offline)
    for name in ASKS:
        monkeypatch.setattr(socket, name, refuse)
    return seen


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    system, truth = idf.Configuration(inputs=4, samples=2, width=10, activation="z + z^2/2 + z^3").plant(seed=0)
    idf.save_problem("problem.npz", system, truth.X, truth.c)
    idf.check(idf.Configuration(inputs=3, samples=2, width=8, activation="z + z^3")).certificate().save("proof.json")
    np.savez("net.npz", W1=system.network.W, W2=np.atleast_2d(system.network.A), activation="relu", X=truth.X)
    (tmp_path / "grid.toml").write_text('inputs = 3\nsamples = 2\nwidth = 8\nactivation = "z + z^3"\n')
    return tmp_path


SIZES = ("--inputs", 3, "--samples", 2, "--width", 8, "--activation", "z + z^3")
LINES = {
    "check": ("check", *SIZES),
    "kkt": ("kkt", *SIZES),
    "verify": ("verify", "proof.json"),
    "theorems": ("theorems",),
    "recover": ("recover", "problem.npz"),
    "audit": ("audit", "problem.npz", "--out", "audit", "--budget", 5),
    "attack": ("attack", "net.npz", "--steps", 5, "-k", 2),
    "sweep": ("sweep", "grid.toml", "--store", "store"),
    "plot": ("plot", "store"),
    "demo": ("demo", "--out", "demo"),
}
SLOW = ("audit", "demo", "sweep", "plot")


def test_every_command_is_here():
    assert set(LINES) == {command.name or command.callback.__name__ for command in cli.app.registered_commands}


@pytest.mark.parametrize("name", [slow(name) if name in SLOW else name for name in LINES])
def test_no_command_reaches_out(name, folder, asked, monkeypatch, capsys):
    if name == "plot":
        assert run(monkeypatch, capsys, *LINES["sweep"])[0] == 0
    status, _, told = run(monkeypatch, capsys, *LINES[name])
    assert (status, asked) == (0, []), told


def test_an_attempt_is_seen(asked):
    with pytest.raises(OSError, match="out of reach"):
        socket.create_connection(("localhost", 9))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own, pytest.raises(OSError, match="out of reach"):
        own.connect(("localhost", 9))
    assert asked == ["a name", "connect"]
