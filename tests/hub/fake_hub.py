"""A Hugging Face hub, its storage, and an Ollama registry, on loopback. They are honest unless a test asks for faults.

The hub and the storage are two origins: the hub redirects to links of the storage that carry a ticket, as the real one
does. `faults` is read for each request, so a test may change it while a download runs.
"""

import hashlib
import json
import re
import struct
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" + "0" * 34


def gguf(architecture="llama", data_bytes=4096, vocabulary=100, seed=b""):
    """A GGUF file with the metadata of a model and one tensor of bytes that never repeat."""

    def text(value):
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw

    tokens = b"".join(text(f"token{i}") for i in range(vocabulary))
    metadata = text("general.architecture") + struct.pack("<I", 8) + text(architecture)
    metadata += text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, vocabulary) + tokens
    sizes = {"block_count": 1, "context_length": 64, "embedding_length": 16, "feed_forward_length": 16,
             "attention.head_count": 1}
    for key, size in sizes.items():
        metadata += text(f"{architecture}.{key}") + struct.pack("<II", 4, size)
    metadata += text(f"{architecture}.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1e-5)
    elements = data_bytes // 4
    tensor = text("data.weight") + struct.pack("<IQIQ", 1, elements, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 3 + len(sizes)) + metadata + tensor
    head += b"\0" * (-len(head) % 32)
    blocks = (hashlib.sha256(seed + str(i).encode()).digest() for i in range(elements * 4 // 32 + 1))
    return head + b"".join(blocks)[: elements * 4]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Faults:
    """What goes wrong. Statuses: (pattern of "METHOD path", status, headers, body, how often)."""

    statuses: list = field(default_factory=list)
    cut_after: object = None  # function of the request's number to the bytes that storage sends before it cuts
    link_uses: int = 1 << 30  # requests that one link lasts for
    ranges: str = "right"  # none, offset, long, short, total, unit
    altered: bool = False  # storage sends other bytes
    first_s: float = 0.0  # pause before a body of the storage
    piece_s: float = 0.0  # pause after each 16 kB
    endless: str = ""  # a pattern of paths whose bodies do not end
    listing: object = None  # function that changes the answer about a repository
    bare_listing: bool = False  # no sizes and hashes, as some mirrors have it
    etag: str = ""  # what HEAD claims, where it lies


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.house.serve(self)

    do_HEAD = do_GET

    def reply(self, status, headers=None, body=b"", length=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class House:
    """The three servers, what they hold, and what they were asked."""

    def __init__(self):
        self.repos = {}  # "org/repo" -> {path: bytes}
        self.models = {}  # "library/name" -> {tag: manifest text}
        self.blobs = {}  # sha256 -> bytes
        self.gated = set()
        self.faults = Faults()
        self.asked = []  # (origin, method, path, headers)
        self.sent_bytes = 0  # by the storage
        self.tickets = {}
        self.lock = threading.Lock()
        self.servers = {}
        for origin in ("hub", "storage", "registry"):
            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            server.handle_error = lambda *_: None  # a client that was killed
            server.house, server.origin = self, origin
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            self.servers[origin] = server

    def url(self, origin):
        return f"http://127.0.0.1:{self.servers[origin].server_address[1]}"

    def close(self):
        for server in self.servers.values():
            server.shutdown()
            server.server_close()

    def requests(self, origin, pattern=""):
        with self.lock:
            return [r for r in self.asked if r[0] == origin and re.search(pattern, f"{r[1]} {r[2]}")]

    def add_model(self, name, tag, layers, config=b"{}"):
        """Adds a model to the registry; layers: (media type, bytes). Returns the manifest."""

        def layer(kind, data):
            self.blobs[sha256(data)] = data
            return {"mediaType": kind, "digest": "sha256:" + sha256(data), "size": len(data)}

        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": layer("application/vnd.docker.container.image.v1+json", config),
            "layers": [layer("application/vnd.ollama.image." + kind, data) for kind, data in layers],
        }
        self.models.setdefault(name, {})[tag] = json.dumps(manifest)
        return manifest

    # --- Serving ---

    def serve(self, handler):
        origin = handler.server.origin
        path = urllib.parse.unquote(handler.path)
        with self.lock:
            self.asked.append((origin, handler.command, path, dict(handler.headers)))
            planned = self._planned(f"{origin} {handler.command} {path}")
        try:
            if planned:
                return handler.reply(*planned)
            if self.faults.endless and re.search(self.faults.endless, path):
                return self._endless(handler)
            getattr(self, "_" + origin)(handler, path.split("?")[0])
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True

    def _planned(self, line):
        for i, (pattern, status, headers, body, count) in enumerate(self.faults.statuses):
            if count > 0 and re.search(pattern, line):
                self.faults.statuses[i] = (pattern, status, headers, body, count - 1)
                return status, headers, body
        return None

    def _endless(self, handler):
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        while True:
            handler.wfile.write(b"[" * 65536)

    def _hub(self, handler, path):
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
            return self._listing(handler, *match.groups())
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(handler, match[1], match[3])
        handler.reply(404)

    def _allowed(self, handler, repo):
        if repo in self.gated and handler.headers.get("Authorization") != "Bearer hf_good":
            status = 403 if "Authorization" in handler.headers else 401
            handler.reply(status, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
            return False
        if repo not in self.repos:
            handler.reply(401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return False
        return True

    def _listing(self, handler, repo, revision):
        if not self._allowed(handler, repo):
            return None
        if revision not in ("main", COMMIT, "refs/pr/1"):
            return handler.reply(404, {"X-Error-Code": "RevisionNotFound"})
        siblings = []
        for path, data in self.repos[repo].items():
            entry = {"rfilename": path}
            if not self.faults.bare_listing:
                entry |= {"size": len(data), "blobId": git_sha1(data)}
                if len(data) > 1000:
                    entry["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
            siblings.append(entry)
        answer = {"id": repo, "sha": COMMIT, "siblings": siblings}
        if self.faults.listing:
            answer = self.faults.listing(answer)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return handler.reply(200, {"Content-Type": "application/json"}, body)

    def _resolve(self, handler, repo, path):
        if not self._allowed(handler, repo):
            return None
        data = self.repos[repo].get(path)
        if data is None:
            return handler.reply(404, {"X-Error-Code": "EntryNotFound"})
        etag = self.faults.etag or (sha256(data) if len(data) > 1000 else git_sha1(data))
        headers = {"X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
        headers |= {"ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if len(data) <= 1000:
            return handler.reply(200, headers, data)
        return handler.reply(302, headers | {"Location": self._link(data)})

    def _link(self, data):
        with self.lock:
            ticket = str(len(self.tickets))
            self.tickets[ticket] = [data, self.faults.link_uses]
        return f"{self.url('storage')}/blob?ticket={ticket}"

    def _registry(self, handler, path):
        if match := re.fullmatch(r"/v2/([^/]+/[^/]+)/manifests/(.+)", path):
            text = self.models.get(match[1], {}).get(match[2])
            if text is None:
                return handler.reply(404, {}, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
            return handler.reply(200, {"Content-Type": "application/json"}, text.encode())
        if match := re.fullmatch(r"/v2/[^/]+/[^/]+/blobs/sha256:([0-9a-f]{64})", path):
            if match[1] not in self.blobs:
                return handler.reply(404)
            return handler.reply(307, {"Location": self._link(self.blobs[match[1]])})
        return handler.reply(404)

    def _storage(self, handler, _):
        ticket = urllib.parse.parse_qs(urllib.parse.urlsplit(handler.path).query).get("ticket", [""])[0]
        with self.lock:
            known = self.tickets.get(ticket)
            if known is None or known[1] <= 0:
                return handler.reply(403, {}, b"<Error><Code>AccessDenied</Code>Request has expired</Error>")
            known[1] -= 1
            number = len([r for r in self.asked if r[0] == "storage"])
        data, faults = known[0], self.faults
        if faults.altered:
            data = data[:-7] + bytes(7)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range", ""))
        if not wanted or faults.ranges == "none":
            return self._send(handler, 200, {}, data, number)
        first, last = int(wanted[1]), min(int(wanted[2]), len(data) - 1)
        if first > last:
            return handler.reply(416, {"Content-Range": f"bytes */{len(data)}"})
        shown_first, size, body = first, len(data), data[first : last + 1]
        if faults.ranges == "offset":
            shown_first, body = first + 1, data[first + 1 : last + 2]
        elif faults.ranges == "long":
            body = data[first : last + 1 + 5000]
        elif faults.ranges == "short":
            body = data[first : (first + last) // 2 + 1]
        elif faults.ranges == "total":
            size += 1
        unit = "items" if faults.ranges == "unit" else "bytes"
        return self._send(handler, 206, {"Content-Range": f"{unit} {shown_first}-{last}/{size}"}, body, number)

    def _send(self, handler, status, headers, body, number):
        cut = self.faults.cut_after(number) if self.faults.cut_after else len(body)
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        time.sleep(self.faults.first_s)
        for at in range(0, min(cut, len(body)), 16384):
            piece = body[at : min(at + 16384, cut)]
            handler.wfile.write(piece)
            with self.lock:
                self.sent_bytes += len(piece)
            if self.faults.piece_s:
                time.sleep(self.faults.piece_s)
        if cut < len(body):
            handler.close_connection = True
            handler.connection.shutdown(2)
