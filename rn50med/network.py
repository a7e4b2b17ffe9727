"""Whether this process may use the network, and whether an address answers.

`forbid_network` works inside Python: it sees every socket that Python code opens. Compiled code
that opens its own (a W&B service process, Gloo, NCCL) is out of its sight, so the switches that
such code honours are set as well, and child processes inherit them.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache, partial
from http.client import HTTPException, HTTPMessage
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Thread
from typing import IO, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from rn50med.errors import OfflineError

OFFLINE_VARIABLE = "RN50MED_OFFLINE"
"""The environment variable that keeps rn50med off the network."""

OFFLINE_SWITCHES = (
    (OFFLINE_VARIABLE, ("1",)),
    ("HF_HUB_OFFLINE", ("1",)),
    ("HF_HUB_DISABLE_TELEMETRY", ("1",)),
    ("WANDB_MODE", ("offline", "disabled", "dryrun")),
)
"""What other libraries honour: each variable, and the values that will do, the one to set first."""

_LOCAL_FAMILIES = tuple(getattr(socket, name, None) for name in ("AF_UNIX", "AF_NETLINK", "AF_ALG"))
_LOCAL_NAMES = ("", "localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")
_CONNECTIONS = ("socket.connect", "socket.sendto", "socket.sendmsg")
_LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")

T = TypeVar("T")


def is_offline() -> bool:
    """Return whether the environment keeps rn50med off the network.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict(os.environ, {"RN50MED_OFFLINE": "yes"}):
        ...     is_offline()
        True
    """
    return os.environ.get(OFFLINE_VARIABLE, "").strip().casefold() in {"1", "true", "yes", "on"}


def forbid_network() -> None:
    """Refuse, from now on and for good, every connection but loopback and local sockets.

    Child processes inherit the environment, thus `is_offline`; one that is spawned rather than
    forked has to call this function again.
    """
    for name, values in OFFLINE_SWITCHES:
        if os.environ.get(name) not in values:
            os.environ[name] = values[0]
    _install()


@cache  # an audit hook cannot be taken out again, so that a second one would only cost time
def _install() -> None:
    sys.addaudithook(_refuse_foreign)


def _refuse_foreign(event: str, arguments: tuple[object, ...]) -> None:
    """Raise for a connection or a look-up that leaves this machine."""
    if not event.startswith("socket."):
        return
    if event in _LOOKUPS:
        host = _text(arguments[0])
        # An address in digits is not looked up anywhere, and our own name is asked for at every turn.
        allowed = _address(host) is not None or host.casefold() in (
            *_LOCAL_NAMES,
            socket.gethostname().casefold(),
        )
    elif event in _CONNECTIONS:
        opened, target = arguments[0], arguments[1]
        host = _text(target[0]) if isinstance(target, tuple) and target else _text(target)
        # Without a target the socket is connected already, and was asked about then.
        allowed = target is None or getattr(opened, "family", None) in _LOCAL_FAMILIES or _is_loopback(host)
    else:
        return
    if not allowed:
        raise OfflineError(
            f"network: a connection to {host!r} was refused, because rn50med is offline; "
            f"drop --offline or unset {OFFLINE_VARIABLE} to allow it."
        )


def _text(host: object) -> str:
    if isinstance(host, bytes | bytearray):
        return bytes(host).decode("latin-1")
    return "" if host is None else str(host)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0])  # fe80::1%eth0 names its interface
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    if address is None:
        return host.casefold() in _LOCAL_NAMES
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what a call returns, without waiting longer for it than asked.

    A resolver that hangs cannot be interrupted, so the call runs in a daemon thread, which is left
    to itself once the time is up.

    Args:
        seconds: The longest to wait, in seconds.
        call: What to do.

    Raises:
        TimeoutError: If the time is up. Whatever the call itself raises is raised as it is.

    Example:
        >>> within(5.0, lambda: 1 + 1)
        2
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # it is raised again where the caller waits
            future.set_exception(error)

    Thread(target=work, name="rn50med-within", daemon=True).start()
    return future.result(timeout=max(seconds, 0.0))


def answers(url: str, seconds: float) -> bool:
    """Return whether a web address gives any HTTP answer, an error page included, in time.

    Args:
        url: The address, with ``http://`` or ``https://``.
        seconds: The longest to wait in total, name look-up included, in seconds.
    """
    if is_offline():
        return False
    try:
        if urlsplit(url).scheme not in {"http", "https"}:
            return False
        return within(seconds, partial(_head, url, seconds))
    except (OSError, HTTPException, ValueError):  # nobody there, no HTTP, or no address at all
        return False


class _Stay(HTTPRedirectHandler):
    """Takes a redirection for the answer that it is."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        return None


def _head(url: str, seconds: float) -> bool:
    # A hospital's proxy often signs with its own certificate. Here nothing is sent and nothing is
    # read; the download that follows does check certificates, and says so where one fails.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = build_opener(_Stay, HTTPSHandler(context=context))
    try:
        opener.open(Request(url, method="HEAD"), timeout=seconds).close()  # noqa: S310 - scheme checked above
    except HTTPError as answer:
        answer.close()
    return True
