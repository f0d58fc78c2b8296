"""Names of models that lead to where no client should."""

import json
import socket
import threading

from attacks import Attack


def pull(server, name):
    """Returns the error that a pull ends with."""
    body = json.dumps({"model": name, "stream": False}).encode()
    status, _, answer = server.request("POST", "/api/pull", body, {"content-type": "application/json"})
    assert status != 200, answer[:300]
    return json.loads(answer)["error"]


def long_names(server):
    for name in (
        "0" * 300 + "127.0.0.1:9/x/y:z",
        "a" * 5_000,
        "hf.co/" + "b" * 3_000 + "/c:d",
        "x/" * 2_000 + "y",
        "../../../../etc/passwd",
        "hf.co/../..:Q4",
        "a\0b",
    ):
        assert pull(server, name)


def ports_behind_the_firewall(server):
    """A registry that a client names is not asked, and nothing that it answers is told."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as secret:
        secret.settimeout(0.2)
        done = threading.Event()

        def answer():
            while not done.is_set():
                try:
                    client = secret.accept()[0]
                except TimeoutError:
                    continue
                asked.append(client.recv(1000))
                client.sendall(b"HTTP/1.1 500 no\r\nContent-Length: 12\r\n\r\nthe password")
                client.close()

        thread = threading.Thread(target=answer)
        thread.start()
        port = secret.getsockname()[1]
        errors = [pull(server, f"{host}:{port}/x/y:z") for host in ("127.0.0.1", "localhost", "2130706433", "[::1]")]
        done.set()
        thread.join()
    assert not asked, asked
    assert not any("password" in error for error in errors), errors


ATTACKS = [
    Attack("pull: long and wandering names", long_names),
    Attack("pull: ports of this machine", ports_behind_the_firewall),
]
