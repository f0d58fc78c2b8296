"""The program under test: started on a free port, asked over HTTP, stopped with a signal."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

READY_S = 120
STOP_S = 30


def program_path():
    path = os.environ.get("PIPPIN_BIN") or os.environ.get("PIPPIN_PROGRAM")
    return Path(path) if path else None


def model_path():
    if "PIPPIN_TEST_MODEL" in os.environ:
        return Path(os.environ["PIPPIN_TEST_MODEL"])
    folder = os.environ.get("PIPPIN_TEST_MODELS")
    return Path(folder) / "SmolLM2-135M-Instruct.Q4_1.gguf" if folder else None


def coder_path():
    folder = os.environ.get("PIPPIN_TEST_MODELS")
    return next(iter(sorted(Path(folder).glob("*wen2.5-*oder-1.5*.gguf"))), None) if folder else None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, limit_s, what):
    """Waits for a true value and returns it."""
    end = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {limit_s} s: {what}"
        time.sleep(0.01)
    return value


def make_certificate(folder):
    """Returns the files of a certificate for this machine and of its key."""
    cert, private = Path(folder) / "cert.pem", Path(folder) / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", private, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=IP:127.0.0.1,DNS:localhost"], check=True, capture_output=True, timeout=60)
    return cert, private


class Program:
    """One running server. Use as a context manager: leaving it stops the server and checks that it ends well.

    `certificate`, of make_certificate(), makes it speak TLS. `headers` are sent with every request of this class.
    """

    def __init__(self, *flags, model=None, port=None, path=None, before_start=None, environment=None, certificate=None,
                 headers=None):
        self.port = port or free_port()
        self.headers, self.context = headers or {}, None
        if certificate:
            flags = (*flags, "--tls-cert", certificate[0], "--tls-key", certificate[1])
            self.context = ssl.create_default_context(cafile=str(certificate[0]))
        self.made = tempfile.TemporaryDirectory(prefix="pippin-made-")
        self.log = tempfile.NamedTemporaryFile("w+", prefix="pippin-", suffix=".log")
        # model="": none is named.
        command = [str(path or program_path()), "serve", str(model_path() if model is None else model)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), *map(str, flags)]
        # Tests leave nothing in the user's folders.
        variables = {"PIPPIN_RESPONSES": ":memory:", "PIPPIN_KEYS": "off", "PIPPIN_BATCHES": ":memory:",
                     "PIPPIN_SIGNING_KEY": "off", "PIPPIN_OLLAMA_FOLDER": self.made.name}
        variables |= os.environ | (environment or {})
        self.process = subprocess.Popen(
            command,
            stdout=self.log,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
            env=variables,
            preexec_fn=before_start,
        )

    @property
    def url(self):
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.port}"

    def log_text(self):
        return Path(self.log.name).read_text(errors="replace")

    def __enter__(self):
        try:
            wait_until(self._is_ready, READY_S, "GET /health is 200")
        except AssertionError as error:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{error}\n{self.log_text()}") from None
        return self

    def __exit__(self, kind, *_):
        code = self.stop()
        if kind is None:
            assert code == 0, f"the program ended with {code}\n{self.log_text()}"

    def _is_ready(self):
        assert self.process.poll() is None, f"the program ended with {self.process.returncode} before it was ready"
        try:
            return self.get("/health")[0] == 200
        except OSError:
            return False

    def stop(self, signal_number=signal.SIGTERM):
        """Returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the program did not end within {STOP_S} s\n{self.log_text()}") from None

    def request(self, method, path, body=None, headers=None, timeout_s=60):
        """Returns (status, headers, body bytes)."""
        request = urllib.request.Request(self.url + path, data=body, method=method,
                                         headers=self.headers | (headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=timeout_s, context=self.context) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def get(self, path):
        return self.request("GET", path, timeout_s=10)

    def http_connection(self, timeout_s=30):
        if self.context:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout_s, context=self.context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)

    def connect(self, timeout_s=30):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def engine(self):
        """The counters of the first model's engine, as GET /v1/status has them."""
        status = json.loads(self.get("/v1/status")[2])
        return status["models"][0] if status.get("models") else status

    def is_idle(self):
        engine = self.engine()
        assert engine["blocks_free"] + engine["blocks_cached"] + engine["blocks_leased"] == engine["blocks_total"]
        return engine["running"] == 0 and engine["waiting"] == 0 and engine["blocks_leased"] == 0
