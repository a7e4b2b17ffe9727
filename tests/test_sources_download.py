"""A download is whole, verified and in its place, or leaves nothing and says what to do."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic

import pytest

from rn50med.data.sources.download import download
from rn50med.errors import DataError, OfflineError, Rn50MedError, StorageError

CONTENT = os.urandom(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class _Server(BaseHTTPRequestHandler):
    """Gives the file, the half of it, a page in its place, or an error."""

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/whole")
            self.end_headers()
            return
        if self.path == "/gone":
            self.send_error(404)
            return
        content = b"<html>Log in" if self.path == "/page" else CONTENT
        self.send_response(200)
        if self.path != "/unsized":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.path == "/half" else content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as served:
        Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


@pytest.fixture
def silent() -> Iterator[Callable[[bytes], str]]:
    """A server that takes connections, says what it is told to, and then nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held = []

        def start(said: bytes) -> str:
            def serve() -> None:
                connection, _ = listening.accept()
                held.append(connection)
                connection.sendall(said)

            Thread(target=serve, daemon=True).start()
            return f"http://127.0.0.1:{listening.getsockname()[1]}/"

        yield start
        for connection in held:
            connection.close()


@pytest.mark.parametrize("path", ["/whole", "/moved", "/unsized"])
def test_what_arrives_whole_is_put_in_its_place_alone(server: str, tmp_path: Path, path: str) -> None:
    target = tmp_path / "new" / "set.npz"
    download(server + path, MD5, target)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def refused(url: str, target: Path, error: type[Rn50MedError], said: str, seconds: float = 20.0) -> None:
    with pytest.raises(error) as caught:
        download(url, MD5, target, seconds)
    for part in (said, url, MD5, str(target)):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(target.parent.iterdir())


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("/half", OfflineError, "the transfer broke off after 1500000 of 3000000 bytes"),
        ("/page", DataError, "in place of"),
        ("/gone", OfflineError, "the server says 404 Not Found"),
    ],
)
def test_what_is_not_the_file_leaves_nothing(
    server: str, tmp_path: Path, path: str, error: type[Rn50MedError], said: str
) -> None:
    refused(server + path, tmp_path / "set.npz", error, said)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n", b"no HTTP\r\n\r\n"]
)
def test_a_server_that_falls_silent_is_not_waited_for(
    silent: Callable[[bytes], str], tmp_path: Path, said: bytes
) -> None:
    start = monotonic()
    expected = "nothing came for 0.5 s" if not said.startswith(b"no") else "could not be had"
    refused(silent(said), tmp_path / "set.npz", OfflineError, expected, seconds=0.5)
    assert monotonic() - start < 5


def test_nobody_there_and_no_address_are_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    refused(f"http://127.0.0.1:{port}/", tmp_path / "set.npz", OfflineError, "could not be had")
    refused("file:///etc/hostname", tmp_path / "set.npz", OfflineError, "it is no web address")


def test_an_older_file_stays_until_the_new_one_is_whole(server: str, tmp_path: Path) -> None:
    target = tmp_path / "set.npz"
    target.write_bytes(b"old")
    with pytest.raises(OfflineError):
        download(server + "/half", MD5, target)
    assert target.read_bytes() == b"old"
    download(server + "/whole", MD5, target)
    assert target.read_bytes() == CONTENT


def test_a_place_that_cannot_be_written_is_named(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"set\.npz cannot be written there \(.*\); give another folder"):
        download(server + "/whole", MD5, tmp_path / "file" / "set.npz")
