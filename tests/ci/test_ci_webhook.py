"""The webhook over real HTTP; signatures against those of Octokit's own signer, over GitHub's payloads."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
import requests
from github_description import node_modules

from ci.webhook import Hook, WebhookServer, is_signed, serve, signature_of
from perfsuite.errors import MachineError, UsageError

SECRET = "it's a secret ü"
PAYLOAD = json.dumps({"repository": {"full_name": "acme/kernels"}}).encode()
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
_SIGN = """
import { sign } from %s;
import { readFileSync } from "node:fs";
const { secret, bodies } = JSON.parse(readFileSync(0, "utf-8"));
console.log(JSON.stringify(await Promise.all(bodies.map((body) => sign(secret, body)))));
"""


@pytest.fixture
def wake() -> threading.Event:
    return threading.Event()


@pytest.fixture
def server(wake: threading.Event) -> Iterator[WebhookServer]:
    pictures = {"0123abcd": SVG}.get
    with serve("127.0.0.1", 0, SECRET, wake, repositories=["Acme/Kernels"], pictures=pictures) as running:
        yield running


def deliver(
    server: WebhookServer, body: bytes = PAYLOAD, delivery: str = "d-1", signature: str | None = None
) -> int:
    headers = {
        "X-Hub-Signature-256": signature_of(SECRET, body) if signature is None else signature,
        "X-GitHub-Delivery": delivery,
        "X-GitHub-Event": "pull_request",
    }
    return requests.post(f"{server.url}/webhook", data=body, headers=headers, timeout=10).status_code


def test_a_signed_delivery_wakes_the_watcher(server: WebhookServer, wake: threading.Event) -> None:
    assert deliver(server) == 202
    assert wake.wait(5)


def test_a_delivery_that_comes_twice_wakes_once(server: WebhookServer, wake: threading.Event) -> None:
    deliver(server)
    wake.clear()
    assert deliver(server) == 202
    assert not wake.is_set()
    assert deliver(server, delivery="d-2") == 202
    assert wake.is_set()


@pytest.mark.parametrize(
    ("body", "signature", "status"),
    [
        (PAYLOAD, "", 401),
        (PAYLOAD, "sha256=", 401),
        (PAYLOAD, "sha256=" + "0" * 64, 401),
        (PAYLOAD, signature_of("another", PAYLOAD), 401),
        (PAYLOAD + b" ", signature_of(SECRET, PAYLOAD), 401),
        (PAYLOAD, signature_of(SECRET, PAYLOAD).replace("sha256", "sha1"), 401),
        (PAYLOAD, signature_of(SECRET, PAYLOAD) + "é", 401),
        (b"payload=%7B%7D", None, 415),
        (b"\xff\xfe", None, 415),
        (b'{"repository": {"full_name": "acme/other"}}', None, 404),
        (b'{"zen": "ping"}', None, 202),
        (b"[]", None, 202),
        (b'{"repository": {"full_name": 7}}', None, 202),
    ],
)
def test_nothing_else_wakes_it(
    server: WebhookServer, wake: threading.Event, body: bytes, signature: str | None, status: int
) -> None:
    encoded = None if signature is None else signature.encode().decode("latin-1")
    assert deliver(server, body, signature=encoded) == status
    assert not wake.is_set()


def test_bodies_that_are_too_long_or_of_unknown_length_are_not_read(server: WebhookServer) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    for header, status in (("Content-Length: 99999999999", 413), ("Content-Length: -1", 411), ("X: y", 411)):
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.sendall(f"POST /webhook HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
            assert f" {status} " in raw.recv(200).decode()


def test_a_picture_is_served_as_nothing_but_a_picture(server: WebhookServer) -> None:
    answer = requests.get(f"{server.url}/pictures/0123abcd.svg?x=1", timeout=10)
    assert (answer.status_code, answer.content) == (200, SVG)
    assert answer.headers["Content-Type"].startswith("image/svg+xml")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "Python" not in answer.headers["Server"]
    assert requests.head(f"{server.url}/pictures/0123abcd.svg", timeout=10).content == b""


@pytest.mark.parametrize(
    "path", ["/pictures/ffff.svg", "/pictures/..%2fx.svg", "/pictures/", "/", "/webhook"]
)
def test_there_is_nothing_else(server: WebhookServer, path: str) -> None:
    assert requests.get(server.url + path, timeout=10).status_code == 404
    assert requests.post(f"{server.url}/other", data=b"", timeout=10).status_code == 404


def test_it_says_that_it_lives(server: WebhookServer) -> None:
    assert requests.get(f"{server.url}/healthz", timeout=10).status_code == 200


def test_idle_connections_do_not_keep_others_out_for_ever(server: WebhookServer) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    idle = [socket.create_connection((host, int(port)), timeout=10) for _ in range(20)]
    for connection in idle:
        connection.close()
    assert requests.get(f"{server.url}/healthz", timeout=30).status_code == 200


def test_old_deliveries_are_forgotten(wake: threading.Event) -> None:
    hook = Hook(SECRET, ["acme/kernels"], wake)
    for number in range(3000):
        hook.receive(
            {"x-hub-signature-256": signature_of(SECRET, PAYLOAD), "x-github-delivery": str(number)}, PAYLOAD
        )
    assert len(hook._seen) == 1024


def test_what_it_cannot_do_is_named(server: WebhookServer, wake: threading.Event) -> None:
    with pytest.raises(UsageError, match="no secret"):
        serve("127.0.0.1", 0, "", wake, repositories=[])
    with pytest.raises(MachineError, match="cannot listen"):
        serve("127.0.0.1", int(server.url.rpartition(":")[2]), SECRET, wake, repositories=[])


def test_octokits_signatures_of_githubs_payloads_are_accepted() -> None:
    modules = node_modules("@octokit/webhooks-methods", "@octokit/webhooks-examples")
    index = json.loads((modules / "@octokit/webhooks-examples/api.github.com/index.json").read_text("utf-8"))
    payloads = [payload for event in index for payload in event["examples"]]
    bodies = [json.dumps(payload, ensure_ascii=False) for payload in payloads] + ["ü\r\n", PAYLOAD.decode()]
    assert len(bodies) > 200
    script = _SIGN % json.dumps(str(modules / "@octokit/webhooks-methods/dist-node/index.js"))
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script],
        input=json.dumps({"secret": SECRET, "bodies": bodies}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    signatures = json.loads(done.stdout)
    for body, signature in zip(bodies, signatures, strict=True):
        assert is_signed(SECRET, body.encode(), signature)
        assert not is_signed(SECRET, body.encode() + b"\n", signature)
