"""Names of models that lead to where no client should."""

import hashlib
import http.server
import json
import os
import shutil
import socket
import tempfile
import threading

from attacks import Attack
from program import free_port


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


class Registry(http.server.BaseHTTPRequestHandler):
    """Has one model of a few bytes, by whatever name it is asked for."""

    asked = []

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.asked.append(self.path)
        bodies = {"config": b"{}", "model": b"GGUF"}
        layers = {
            name: {"digest": "sha256:" + hashlib.sha256(body).hexdigest(), "size": len(body),
                   "mediaType": "application/vnd.ollama.image." + name}
            for name, body in bodies.items()
        }
        body = json.dumps({"schemaVersion": 2, "config": layers["config"], "layers": [layers["model"]]}).encode()
        for name, layer in layers.items():
            if self.path.endswith(layer["digest"]):
                body = bodies[name]
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def registry_of_a_long_name(server):
    """A registry that the operator has named so, and that answers: its name is too long for a folder."""
    Registry.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Registry) as registry:
        thread = threading.Thread(target=registry.serve_forever, args=(0.05,))
        thread.start()
        try:
            error = pull(server, f"{LONG_HOST}/x/y:z")
            assert "--registries" not in error, error
            # Streamed: the pull's own thread ends it, and tells.
            body = json.dumps({"model": f"{LONG_HOST}/x/y:z", "stream": True}).encode()
            answer = server.request("POST", "/api/pull", body, {"content-type": "application/json"})[2]
            assert "error" in json.loads(answer.splitlines()[-1]), answer
            assert Registry.asked, "the registry was not reached"
        finally:
            registry.shutdown()
            thread.join()
            shutil.rmtree(STORE, ignore_errors=True)


# An address in octal with zeros before it, 300 characters long.
PORT = free_port()
LONG_HOST = f"0177.0.0.1:{PORT}".rjust(300, "0")
STORE = os.path.join(tempfile.gettempdir(), f"pippin-attacks-{os.getpid()}")

ATTACKS = [
    Attack("pull: long and wandering names", long_names),
    Attack("pull: ports of this machine", ports_behind_the_firewall),
    Attack("pull: a registry of a long name", registry_of_a_long_name, flags=("--registries", LONG_HOST),
           environment=(("OLLAMA_MODELS", STORE),)),
]
