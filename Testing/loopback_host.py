"""Another computer for the tests: a real OpenSSH server on the loopback, with keys and configuration of its own.

Nothing of the user's own SSH is read or changed: a program ``ssh`` on the PATH runs the real one with a configuration
of the test's. The server runs each command in a shell, as any other would.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from patience import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parent.parent
ALIAS = "workstation"
UNKNOWN, CHANGED, CLOSED = "unknown", "changed", "closed"
"""Names of hosts whose key is not known, is another one, and where nobody listens."""


class LoopbackHost:
    """The server, and what is installed there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        for name in ("host", "other", "user"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name]
            subprocess.run(command, check=True)
        self._bin = folder / "bin"
        self._bin.mkdir()
        (folder / "home").mkdir()
        self.install_ccella()
        self._start_server()
        self._configure_client()

    def install_ccella(self, *arguments: str) -> None:
        """What ``ccella`` is there; ``arguments`` run instead of it."""
        run = arguments or (sys.executable, "-m", "ccella_core")
        _write_program(self._bin / "ccella", f'cd /; PYTHONPATH="{ROOT}" exec {" ".join(map(str, run))} "$@"')

    def remove_ccella(self) -> None:
        """There is none."""
        (self._bin / "ccella").unlink()

    def workers(self) -> list[psutil.Process]:
        """The workers that run there."""
        return living(
            self._children(), lambda process: any(Path(word).name == "ccella_core" for word in process.cmdline())
        )

    def sessions(self) -> list[psutil.Process]:
        """The server's processes that serve a connection."""
        return living(self._children(), lambda process: process.name().startswith("sshd"))

    def left_behind(self) -> list[str]:
        """Files that were written there, but for matplotlib's list of that computer's fonts."""
        files = (path for path in (self.folder / "home").rglob("*") if path.is_file())
        return [str(path) for path in files if "matplotlib" not in path.parts]

    def stop(self) -> None:
        """Switch the computer off."""
        kill(self._children())
        self._server.kill()
        self._server.wait()

    def _children(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):  # the server has ended
            return psutil.Process(self._server.pid).children(recursive=True)
        return []

    def _start_server(self) -> None:
        shutil.copy(self.folder / "user.pub", self.folder / "authorized_keys")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # which Debian makes when the service starts
        configuration = self.folder / "sshd_config"
        home = self.folder / "home"
        configuration.write_text(
            f"""
            ListenAddress 127.0.0.1
            Port {self.port}
            HostKey {self.folder}/host
            PidFile none
            AuthorizedKeysFile {self.folder}/authorized_keys
            StrictModes no
            UsePAM no
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            PermitRootLogin prohibit-password
            SetEnv PATH={self._bin}:/usr/bin:/bin HOME={home} TMPDIR={home} OMP_NUM_THREADS=1
            """
        )
        self._log = (self.folder / "sshd.log").open("wb")
        sshd = _sshd()
        assert sshd is not None
        self._server = subprocess.Popen([sshd, "-D", "-e", "-f", configuration], stderr=self._log)
        end = time.monotonic() + PATIENCE_SECONDS
        while not _answers(self.port):
            assert self._server.poll() is None and time.monotonic() < end, (self.folder / "sshd.log").read_text()
            time.sleep(0.02)

    def _configure_client(self) -> None:
        def key(name: str) -> str:
            return (self.folder / f"{name}.pub").read_text().strip()

        (self.folder / "known_hosts").write_text(
            f"{ALIAS} {key('host')}\n{CHANGED} {key('other')}\n{CLOSED} {key('host')}\n"
        )
        blocks = [
            f"Host {name}\n HostName 127.0.0.1\n Port {port}\n HostKeyAlias {name}\n"
            for name, port in ((ALIAS, self.port), (UNKNOWN, self.port), (CHANGED, self.port), (CLOSED, _free_port()))
        ]
        # What a careless user may have: the software must not rely on it.
        everywhere = (
            f"Host *\n User {getpass.getuser()}\n IdentityFile {self.folder}/user\n IdentitiesOnly yes\n"
            f" UserKnownHostsFile {self.folder}/known_hosts\n GlobalKnownHostsFile none\n StrictHostKeyChecking no\n"
        )
        (self.folder / "ssh_config").write_text("".join(blocks) + everywhere)
        client = self.folder / "client"
        client.mkdir()
        _write_program(client / "ssh", f'exec {shutil.which("ssh")} -F "{self.folder}/ssh_config" "$@"')
        self.path = f"{client}{os.pathsep}{os.environ['PATH']}"


def _write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def _sshd() -> str | None:
    return shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def living(processes: list[psutil.Process], wanted: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """Those that are ``wanted``, without the ones that have ended, were it while they are asked."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE and wanted(process):
                found.append(process)
    return found


def kill(processes: list[psutil.Process]) -> None:
    """All of them; the end of one may have been another's."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def own_ssh() -> list[psutil.Process]:
    """The clients ``ssh`` that this process started and that still live."""
    return living(psutil.Process().children(), lambda process: process.name() == "ssh")


def gone(processes: Callable[[], list[psutil.Process]]) -> bool:
    """Whether all of them have ended, in good time."""
    end = time.monotonic() + PATIENCE_SECONDS
    while processes() and time.monotonic() < end:
        time.sleep(0.02)
    return not processes()


@pytest.fixture
def loopback_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHost]:
    """A computer that ``ssh workstation`` reaches; the test is skipped where there is no OpenSSH server."""
    if missing := [name for name, path in (("sshd", _sshd()), ("ssh", shutil.which("ssh")),
                                           ("ssh-keygen", shutil.which("ssh-keygen"))) if path is None]:  # fmt: skip
        pytest.skip(f"{' and '.join(missing)} of OpenSSH are not installed (Debian: openssh-server)")
    folder = tmp_path / "other"
    folder.mkdir()
    host = LoopbackHost(folder)
    monkeypatch.setenv("PATH", host.path)
    yield host
    host.stop()
