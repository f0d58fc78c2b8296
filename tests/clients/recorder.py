"""A proxy on loopback that writes down what a client asks of a server, and how the answer went.

    recorder.py SERVER FILE    prints its own address; one line of JSON in FILE for each exchange, until interrupted

The answer is passed on as it comes, so that the client sees the server's own timing. Standard library only.
"""

import http.client
import http.server
import json
import sys
import threading
import time
import urllib.parse

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}
CHUNK_BYTES = 1 << 16
ANSWER_S = 1800


class Recorder(http.server.ThreadingHTTPServer):
    """Listens on a free port. Use as a context manager."""

    daemon_threads = True

    def __init__(self, server_url, path, change=None):
        """`change` may change a body on its way; the record has it as the client sent it."""
        super().__init__(("127.0.0.1", 0), Handler)
        server = urllib.parse.urlsplit(server_url)
        self.target = (server.hostname, server.port)
        self.file = open(path, "w", encoding="utf-8")
        self.change = change or (lambda path, body: body)
        self.lock = threading.Lock()
        self.started = time.monotonic()
        self.open_exchanges = 0
        self.turn = 0  # set by who drives the client; written with each exchange

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def note(self, exchange):
        with self.lock:
            self.file.write(json.dumps(exchange) + "\n")
            self.file.flush()

    def count(self, by):
        with self.lock:
            self.open_exchanges += by

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
        self.file.close()

    def handle_error(self, request, client_address):
        """A client may leave at any time; what it left is in the record."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Recorder

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        self.server.count(+1)
        try:
            self.exchange()
        finally:
            self.server.count(-1)

    def exchange(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if "chunked" in self.headers.get("transfer-encoding", ""):
            body = self.read_chunks()
        begun = time.monotonic()
        noted = {
            "at_s": round(begun - self.server.started, 3),
            "turn": self.server.turn,
            "method": self.command,
            "path": self.path,
            "headers": dict(self.headers.items()),
            "body": body.decode("utf-8", "replace"),
        }
        server = http.client.HTTPConnection(*self.server.target, timeout=ANSWER_S)
        parts = []
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP | {"content-length"}}
            sent = self.server.change(self.path, body) if body else None
            server.request(self.command, self.path, sent, headers)
            answer = server.getresponse()
            noted |= {"status": answer.status, "answer_headers": dict(answer.getheaders())}
            noted["first_byte_s"] = round(time.monotonic() - begun, 3)
            self.pass_on(answer, parts)
            noted["ended"] = "whole"
        except (BrokenPipeError, ConnectionResetError):
            noted["ended"] = "the client left"
        except (OSError, http.client.HTTPException) as error:
            noted["ended"] = f"{type(error).__name__}: {error}"
        finally:
            server.close()
            noted["seconds"] = round(time.monotonic() - begun, 3)
            noted["answer"] = b"".join(parts).decode("utf-8", "replace")
            self.server.note(noted)
            self.close_connection |= noted["ended"] != "whole"

    def pass_on(self, answer, parts):
        length = answer.getheader("content-length")
        bodiless = self.command == "HEAD" or answer.status in (204, 304)
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        if length is None and not bodiless:
            self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        while not bodiless and (part := answer.read1(CHUNK_BYTES)):
            parts.append(part)
            self.wfile.write(part if length is not None else b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()
        if length is None and not bodiless:
            self.wfile.write(b"0\r\n\r\n")

    def read_chunks(self):
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)


def read(path):
    """Returns the exchanges of a record, in the order in which they began."""
    with open(path, encoding="utf-8") as file:
        return sorted((json.loads(line) for line in file), key=lambda exchange: exchange["at_s"])


if __name__ == "__main__":
    with Recorder(*sys.argv[1:3]) as recorder:
        print(recorder.url, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
