"""Nothing is fetched when qdr is imported, nor when its tests run."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
import requests

from tests.network import Blocked

IMPORT_ALL = """
import importlib, pkgutil
from tests.network import block
block()
import qdr
names = [found.name for found in pkgutil.walk_packages(qdr.__path__, "qdr.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def test_every_module_is_imported_without_a_network() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 150


def test_tests_cannot_reach_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as made, pytest.raises(Blocked, match=r"192\.0\.2\.1"):  # an address that is nobody's (RFC 5737)
        made.connect(("192.0.2.1", 80))
    with pytest.raises(Blocked, match=r"example\.org"):
        socket.getaddrinfo("example.org", 80)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Blocked):
        requests.get("http://example.org/", timeout=1)


def test_this_machine_may_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
