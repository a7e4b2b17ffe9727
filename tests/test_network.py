"""What `--offline` refuses, and how long a dead address may keep a user waiting."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from rn50med.network import answers, is_offline, within


class _NotFound(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(302 if self.path == "/moved" else 404)
        self.send_header("Location", "http://192.0.2.1/")
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), _NotFound)
    Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that accepts a connection and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RN50MED_OFFLINE", raising=False)


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own: an audit hook stays for good."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "HF_"))}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=variables
    )


def refused(action: str) -> None:
    code = (
        "import socket\n"
        "from rn50med.errors import OfflineError\n"
        "from rn50med.network import forbid_network\n"
        "forbid_network(); forbid_network()\n"
        f"try:\n    {action}\n"
        "except OfflineError as error:\n    print(error)\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert "was refused" in done.stdout, done.stdout
    assert "--offline" in done.stdout
    assert "RN50MED_OFFLINE" in done.stdout


@pytest.mark.parametrize(
    "action",
    [
        "socket.create_connection(('192.0.2.1', 80), timeout=5)",
        "socket.socket().connect_ex(('192.0.2.1', 80))",
        "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 80))",
        "socket.socket(type=socket.SOCK_DGRAM).sendmsg([b''], [], 0, ('192.0.2.1', 80))",
        "socket.getaddrinfo('example.org', 80)",
        "socket.getaddrinfo(b'example.org', 80)",
        "socket.gethostbyname('example.org')",
        "socket.gethostbyname_ex('example.org')",
        "__import__('urllib.request').request.build_opener().open('http://example.org')",
    ],
)
def test_offline_refuses_what_leaves_the_machine(action: str) -> None:
    if "build_opener" in action:  # urllib wraps every OSError, ours too
        action = action.replace("__import__", "import urllib.error\n    __import__")
        action += "\nexcept urllib.error.URLError as error:\n    print(error.reason)"
    refused(action)


def test_offline_names_the_host_that_was_refused() -> None:
    done = run(
        "import socket; from rn50med.network import forbid_network; forbid_network()\n"
        "socket.create_connection(('192.0.2.1', 80))"
    )
    assert "OfflineError: network: a connection to '192.0.2.1' was refused" in done.stderr


def test_offline_allows_loopback_and_local_sockets(server: str) -> None:
    host, port = server.removeprefix("http://").split(":")
    done = run(
        "import os, socket, tempfile, urllib.request, urllib.error\n"
        "from rn50med.network import forbid_network\n"
        "forbid_network()\n"
        f"socket.create_connection(('{host}', {port})).close()\n"
        f"socket.create_connection(('localhost', {port})).close()\n"
        "socket.getaddrinfo(None, 0); socket.getaddrinfo('192.0.2.1', 80); socket.getfqdn()\n"
        "socket.getaddrinfo(socket.gethostname(), 0)\n"
        "a, b = socket.socketpair(); a.sendmsg([b'x']); assert b.recv(1) == b'x'\n"
        "u = socket.socket(type=socket.SOCK_DGRAM)\n"
        "u.bind(('127.0.0.1', 0)); u.sendto(b'x', u.getsockname())\n"
        "path = os.path.join(tempfile.mkdtemp(), 's')\n"
        "s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen()\n"
        "socket.socket(socket.AF_UNIX).connect(path)\n"
        "import multiprocessing\n"
        "q = multiprocessing.get_context('fork').Queue(); q.put(1); assert q.get() == 1\n"
        f"try:\n    urllib.request.urlopen('{server}')\n"
        "except urllib.error.HTTPError as error:\n    print(error.code)\n"
    )
    assert done.stdout == "404\n", done.stderr


def test_offline_is_inherited_by_child_processes_and_other_libraries() -> None:
    done = run(
        "import os, subprocess, sys\n"
        "from rn50med.network import forbid_network, is_offline\n"
        "os.environ['WANDB_MODE'] = 'online'\n"
        "assert not is_offline(); forbid_network(); assert is_offline()\n"
        "subprocess.run([sys.executable, '-c', 'import os; from rn50med.network import is_offline; '"
        "\"print(is_offline(), os.environ['HF_HUB_OFFLINE'], os.environ['WANDB_MODE'])\"], check=True)\n"
    )
    assert done.stdout == "True 1 offline\n", done.stderr


def test_a_disabled_tracker_stays_disabled() -> None:
    done = run(
        "import os; from rn50med.network import forbid_network; os.environ['WANDB_MODE'] = 'disabled'\n"
        "forbid_network(); print(os.environ['WANDB_MODE'])"
    )
    assert done.stdout == "disabled\n"


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("True", True), (" yes ", True), ("0", False), ("", False)]
)
def test_the_environment_says_offline(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("RN50MED_OFFLINE", value)
    assert is_offline() is expected


@pytest.mark.parametrize("path", ["/", "/moved"])
def test_any_http_answer_counts_and_no_redirection_is_followed(server: str, path: str) -> None:
    assert answers(server + path, 5.0)


def test_offline_nobody_answers_at_once(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RN50MED_OFFLINE", "1")
    assert not answers(server, 5.0)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "file:///etc/hostname", "nonsense", "http://[bad/", "http://"]
)
def test_no_answer_where_nobody_is(url: str) -> None:
    assert not answers(url, 5.0)


def test_a_server_that_never_answers_costs_no_more_than_the_time_given(silent: str) -> None:
    started = time.monotonic()
    assert not answers(silent, 0.3)
    assert time.monotonic() - started < 1.0


def test_a_server_that_answers_byte_by_byte_costs_no_more_than_the_time_given() -> None:
    def drip(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with closing(connection):
            for _ in range(20):  # each byte renews a socket's own timeout
                connection.sendall(b"H")
                time.sleep(0.05)

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = Thread(target=drip, args=(listening,), daemon=True)
        thread.start()
        started = time.monotonic()
        assert not answers(f"http://127.0.0.1:{listening.getsockname()[1]}/", 0.3)
        assert time.monotonic() - started < 0.95
        thread.join()


def test_a_resolver_that_hangs_costs_no_more_than_the_time_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(5))
    started = time.monotonic()
    assert not answers("http://example.org/", 0.3)
    assert time.monotonic() - started < 1.0


def test_within_raises_what_the_call_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 / 0)
    with pytest.raises(TimeoutError):
        within(0.05, lambda: time.sleep(1))
