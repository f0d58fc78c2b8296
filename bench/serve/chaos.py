#!/usr/bin/env python3
"""Everything that can go wrong around a server, while clients use it; then asks whether anything was lost or mixed up.

    bench/serve/chaos.py --program build/ci/pippin --model FILE --minutes 15

Clients of bench/serve/soak.py's manners, batches and keys that come and go, and again and again one of: kill -9 and a
new start; a full disk; a clock that jumps by up to an hour; state files that are read-only or not to be read, under a
running server and as one starts; 200 readers that ask for thousands of tokens and do not read, with 1,000 connections
that never finish a request, for longer than --slow-reader. As root the state lies on a small tmpfs, which is filled;
else a limit on file sizes stands in for it. At the end a small model, made up and fast, has some such readers to
itself, until each has been cut off.
Checks: the answers to prompts with a known answer are that answer, in chats and in batches; each request of each batch
has one result; a revoked key is let in by nobody; readers that do not read are cut off, and who reads has its answer
beside them; at the end the server is idle and has all its blocks. Prints one JSON line; the exit status is 1 if a check
failed. Needs a C compiler for the clock. Standard library only; loopback only.
"""

import argparse
import asyncio
import collections
import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import random
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests" / "serve")]
import soak  # noqa: E402
from gguf_edit import edited  # noqa: E402
from program import Program, free_port, wait_until  # noqa: E402

KNOWN = [f"Tell me about the {word}." for word in ("sea", "moon", "wolf", "north", "rain", "bread", "clock", "garden")]
BATCH, TMPFS_BYTES, JUMP_S = 12, 48 << 20, 3600
SLOW_READERS, HALF_OPEN = 200, 1000
SLOW_READER_S = 1  # --slow-reader
# More than wait for a reader that reads nothing, with what the buffers on the way hold, before its answer pauses.
SLOW_TOKENS = 6000
# Of a slow reader's socket: the system reads no more for it, and the server's buffer, which grows with them, is small.
RECEIVE_BYTES, SEGMENT_BYTES = 4096, 536
CUT_READERS = 32
FAST_MODEL = HERE.parents[1] / "tests" / "models" / "fixtures" / "qwen2.gguf"
FAST = ("--context", 8192, "--kv-memory", "64MiB", "--max-queue", 256, "--slow-reader", SLOW_READER_S)
FILES_OF_CLIENTS = 256
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24


def greedy(prompt):
    return {"model": "default", "max_tokens": 12, "temperature": 0, "messages": [{"role": "user", "content": prompt}]}


class State:
    """The folder of the server's files, and what happens to its disk."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pippin-chaos-"))
        mount = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "none", str(self.folder)]
        self.mounted = os.geteuid() == 0 and subprocess.run(mount, stderr=subprocess.DEVNULL).returncode == 0

    def path(self, name):
        return self.folder / name

    def close(self):
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def full(self, process):
        if not self.mounted:
            _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, hard))
            yield
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
            return
        filler = self.path("filler")
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        yield
        filler.unlink(missing_ok=True)

    @contextlib.contextmanager
    def files_of_mode(self, mode, but=""):
        """Holds the files, but those of a name with `but`, to a mode, and lets no others be made beside them."""
        files = [path for path in self.folder.iterdir() if ".db" in path.name and not (but and but in path.name)]
        for path in files:
            path.chmod(mode)
        self.folder.chmod(0o500 if not but else 0o700)
        try:
            yield
        finally:
            self.folder.chmod(0o700)
            for path in files:
                with contextlib.suppress(FileNotFoundError):
                    path.chmod(0o600)


def drop_override():
    """Root, too, is held to the modes of files."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def slow_request(key=""):
    body = json.dumps({"model": "default", "stream": True, "ignore_eos": True, "max_tokens": SLOW_TOKENS,
                       "prompt": "Count.", "logprobs": 5}).encode()
    return (f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


def slow_socket(port):
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
    made.settimeout(2)
    made.connect(("127.0.0.1", port))
    return made


def cut_slow_readers(program, readers, limit_s=300):
    """Returns what is wrong. All readers are cut off, while who reads is answered, and nothing is left of them."""
    with tempfile.TemporaryDirectory(prefix="pippin-chaos-") as folder:
        model = edited(FAST_MODEL, pathlib.Path(folder) / "fast.gguf", {"qwen2.context_length": 8192})
        with Program(*FAST, model=model, path=program) as running:
            sockets = [slow_socket(running.port) for _ in range(readers)]
            for one in sockets:
                one.sendall(slow_request())
            body = json.dumps({"model": "default", "prompt": "Count.", "max_tokens": 8, "ignore_eos": True}).encode()
            wrong, end = [], time.monotonic() + limit_s
            while True:
                status, _, answer = running.request("POST", "/v1/completions", body,
                                                    {"content-type": "application/json"}, timeout_s=limit_s)
                if status != 200 or json.loads(answer)["usage"]["completion_tokens"] != 8:
                    wrong.append(f"beside slow readers: {status} {answer[:200]}")
                state = json.loads(running.get("/v1/status")[2])
                engine = state["models"][0]
                if not state["requests"] and engine["running"] + engine["waiting"] + engine["paused"] == 0:
                    break
                if time.monotonic() > end:
                    return wrong + [f"{len(state['requests'])} slow readers are not cut off within {limit_s} s"]
            wait_until(running.is_idle, 30, "no blocks are left behind")
            cut = 0
            for one in sockets:
                read = b"".join(iter(lambda: receive(one), b""))
                cut += b"[DONE]" not in read
                one.close()
            return wrong + ([f"{readers - cut} of {readers} slow readers had whole answers"] if cut < readers else [])


def receive(one):
    try:
        return one.recv(1 << 16)
    except OSError:  # reset, as the server has closed it with bytes unsent
        return b""


class Chaos:
    def __init__(self, program, model, seed):
        self.program, self.model, self.rng = program, model, random.Random(seed)
        self.state, self.port, self.tally = State(), free_port(), soak.Tally()
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="pippin-chaos-clock-"))
        self.clock = self.work / "clock"
        self.clock.write_bytes(struct.pack("q", 0))
        shim = self.work / "clock_shim.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", shim, HERE / "clock_shim.c"], check=True)
        self.environment = {"LD_PRELOAD": str(shim), "CHAOS_CLOCK": str(self.clock)}
        self.over, self.calm = threading.Event(), threading.Event()
        self.revoked, self.batches, self.known = [], [], {}
        self.main_key = self.make_key("main")[1]
        self.running = self.start()

    # --- The server ---

    def start(self):
        names = ("keys", "batches", "responses")
        files = [flag for name in names for flag in (f"--{name}", self.state.path(f"{name}.db"))]
        flags = (*soak.TINY_KV, "--slow-reader", SLOW_READER_S, *files)
        running = Program(*flags, model=self.model, path=self.program, port=self.port, environment=self.environment,
                          before_start=drop_override)
        running.__enter__()
        return running

    def kill(self):
        self.running.process.kill()
        self.running.process.wait()

    def key(self, *args):
        command = [self.program, "key", *args, "--keys", self.state.path("keys.db"), "--json"]
        return subprocess.run(command, capture_output=True, text=True, preexec_fn=drop_override)

    def make_key(self, name):
        """Returns its id and its secret, or nothing if the file cannot be written now."""
        done = self.key("create", name)
        if done.returncode != 0:
            return None
        made = json.loads(done.stdout)
        return made["id"], made["key"]

    def ask(self, method, path, body=None, key=None):
        """Returns (status, body), or nothing if the server went away or refuses for now."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            head = {"authorization": f"Bearer {key or self.main_key}", "content-type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), head)
            answer = connection.getresponse()
            text = answer.read()
            return (answer.status, text) if answer.status not in (503, 529) else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def insist(self, *args, limit_s=120):
        end = time.monotonic() + limit_s
        while (answer := self.ask(*args)) is None:
            if time.monotonic() > end:
                raise TimeoutError(f"no answer: {args[:2]}")
            time.sleep(0.2)
        return answer

    # --- Clients ---

    def ask_known(self):
        rng = random.Random(self.rng.random())
        while not self.over.is_set():
            prompt = rng.choice(KNOWN)
            answer = self.ask("POST", "/v1/chat/completions", greedy(prompt))
            if answer is None:
                time.sleep(0.1)
                continue
            text = json.loads(answer[1])["choices"][0]["message"]["content"] if answer[0] == 200 else answer
            if text != self.known[prompt]:
                self.tally.fail(f"mixed up: {prompt!r} was answered with {text!r}")
            self.tally.note("known")

    def send_batches(self):
        rng = random.Random(self.rng.random())
        while not self.over.is_set():
            prompts = [rng.choice(KNOWN) for _ in range(BATCH)]
            requests = [{"custom_id": f"n{i}-{KNOWN.index(p)}", "params": greedy(p)} for i, p in enumerate(prompts)]
            answer = self.ask("POST", "/v1/messages/batches", {"requests": requests})
            if answer is not None and answer[0] == 200:
                self.batches.append(json.loads(answer[1])["id"])
            self.over.wait(3)

    def come_and_go(self):
        """Keys that are made and revoked; one that was revoked stays out, whatever happens."""
        count = 0
        while not self.over.is_set():
            count += 1
            made = self.make_key(f"guest {count}")
            if made is not None:
                self.ask("GET", "/v1/models", None, made[1])
                if self.key("revoke", made[0]).returncode == 0:
                    self.revoked.append(made[1])
                    self.tally.note("revoked")
            for secret in self.revoked[-1:] + random.sample(self.revoked, min(3, len(self.revoked))):
                answer = self.ask("GET", "/v1/models", None, secret)
                if answer is not None and answer[0] != 401:
                    self.tally.fail(f"a revoked key was answered with {answer[0]}")
            self.over.wait(0.3)

    def soak_clients(self, seconds, clients):
        url = urllib.parse.urlparse(f"http://127.0.0.1:{self.port}")
        soak.Connection.key = self.main_key
        tally = soak.Tally()  # what they see fail is the server's absence
        end = time.monotonic() + seconds

        async def load():
            await asyncio.gather(*(soak.Client(url, tally, n, "chaos").run(end) for n in range(clients)))

        asyncio.run(load())
        self.tally.counts["soak answered"] = tally.counts["answered"]

    # --- What goes wrong ---

    def kill_and_start(self):
        self.kill()
        self.running = self.start()

    def fill_disk(self):
        with self.state.full(self.running.process):
            time.sleep(self.rng.uniform(0.5, 3))

    def fill_disk_and_kill(self):
        with self.state.full(self.running.process):
            time.sleep(self.rng.uniform(0.2, 1))
            self.kill()
        self.running = self.start()

    def jump(self):
        with open(self.clock, "r+b", buffering=0) as clock:  # in place: a mapped file that is cut ends its reader
            clock.write(struct.pack("q", self.rng.randint(-JUMP_S, JUMP_S)))
        time.sleep(self.rng.uniform(0.2, 1))

    def start_read_only(self):
        """Without the keys: a server that cannot read them does not start, and lets nobody in."""
        self.kill()
        with self.state.files_of_mode(0o400, but="keys"):
            self.running = self.start()
            time.sleep(self.rng.uniform(0.5, 2))

    def make_read_only(self):
        """Under a running server, the keys' file, too: it may refuse, and let in no key that was revoked."""
        with self.state.files_of_mode(self.rng.choice([0o400, 0o000])):
            end = time.monotonic() + self.rng.uniform(0.5, 3)
            while time.monotonic() < end:
                for secret in random.sample(self.revoked, min(3, len(self.revoked))):
                    answer = self.ask("GET", "/v1/models", None, secret)
                    if answer is not None and answer[0] != 401:
                        self.tally.fail(f"a revoked key was answered with {answer[0]} while its file was closed")
                if (known := self.ask("GET", "/v1/models")) is not None and known[0] not in (200, 401):
                    self.tally.fail(f"with closed files a key was answered with {known[0]}")
                time.sleep(0.1)

    def crowd(self):
        """Many that read nothing, and many that send nothing more."""
        request = slow_request(self.main_key)
        sockets = []
        room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - FILES_OF_CLIENTS  # the other clients live here, too
        for i in range(min(SLOW_READERS + HALF_OPEN, room)):
            with contextlib.suppress(OSError):
                sockets.append(slow_socket(self.port))
                sockets[-1].sendall(request if i < SLOW_READERS else request[: 20 + i % 40])
        time.sleep(SLOW_READER_S + self.rng.uniform(1, 4))
        for one in sockets:
            one.close()

    def disturb(self, seconds):
        kinds = [self.kill_and_start, self.fill_disk, self.fill_disk_and_kill, self.jump, self.start_read_only,
                 self.make_read_only, self.crowd]
        end, planned = time.monotonic() + seconds, []
        while time.monotonic() < end:
            if not planned:  # each in turn, in another order each time
                planned = self.rng.sample(kinds, len(kinds))
            kind = planned.pop()
            kind()
            self.tally.note(kind.__name__)
            if (status := self.running.process.poll()) is not None:
                log = self.running.log_text()[-500:]
                self.tally.fail(f"the server ended by itself with {status} after {kind.__name__}: {log}")
                self.running = self.start()
            time.sleep(self.rng.uniform(0.5, 3))

    # --- The whole ---

    def run(self, seconds, clients):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
        for prompt in KNOWN:
            answer = json.loads(self.insist("POST", "/v1/chat/completions", greedy(prompt))[1])
            self.known[prompt] = answer["choices"][0]["message"]["content"]
        jobs = [self.ask_known, self.ask_known, self.send_batches, self.come_and_go,
                lambda: self.soak_clients(seconds, clients)]
        threads = [threading.Thread(target=self.guard, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        try:
            self.disturb(seconds)
        finally:
            self.over.set()
        for thread in threads:
            thread.join(300)
        self.check_batches()
        self.check_idle()
        counts = dict(sorted(self.tally.counts.items()))
        return {"seconds": seconds, "clients": clients, "tmpfs": self.state.mounted, "batches": len(self.batches),
                "revoked_keys": len(self.revoked), "counts": counts, "failures": self.tally.wrong}

    def guard(self, job):
        try:
            job()
        except Exception as error:  # a client that ends early would check nothing
            self.tally.fail(f"a client ended: {error!r}")

    def check_batches(self):
        """Of all batches: those whose making was answered, and those where the answer was lost."""
        found, after = [], ""
        while True:
            page = json.loads(self.insist("GET", f"/v1/messages/batches?limit=100{after}")[1])
            found += [batch["id"] for batch in page["data"]]
            if not page["has_more"]:
                break
            after = f"&after_id={page['last_id']}"
        for lost in set(self.batches) - set(found):
            self.tally.fail(f"batch {lost} is gone")
        for batch in found:
            end = time.monotonic() + 300
            while json.loads(self.insist("GET", f"/v1/messages/batches/{batch}")[1])["processing_status"] != "ended":
                if time.monotonic() > end:
                    self.tally.fail(f"batch {batch} does not end")
                    return
                time.sleep(0.2)
            self.check_results(batch)

    def check_results(self, batch):
        text = self.insist("GET", f"/v1/messages/batches/{batch}/results")[1].decode()
        results = [json.loads(line) for line in text.splitlines()]
        numbers = collections.Counter(result["custom_id"].split("-")[0] for result in results)
        if numbers != collections.Counter(f"n{i}" for i in range(BATCH)):
            self.tally.fail(f"batch {batch} has results {sorted(numbers.items())}")
        for result in results:
            prompt = KNOWN[int(result["custom_id"].split("-")[1])]
            message = result["result"].get("message", {"content": [{"text": json.dumps(result["result"])}]})
            if "".join(part["text"] for part in message["content"]) != self.known[prompt]:
                self.tally.fail(f"batch {batch}: {prompt!r} was answered with {message}")
            self.tally.note("batch result")

    def check_idle(self):
        end = time.monotonic() + 60
        while True:
            status = json.loads(self.insist("GET", "/v1/status")[1])
            engine = status["models"][0]
            whole = engine["blocks_free"] + engine["blocks_cached"] == engine["blocks_total"]
            if whole and not status["requests"] and engine["running"] + engine["waiting"] == 0:
                return
            if time.monotonic() > end:
                left = len(status["requests"])
                return self.tally.fail(f"not idle: {engine['blocks_leased']} blocks leased, {left} requests")
            time.sleep(0.2)

    def close(self):
        if self.running.process.poll() is None and self.running.stop() != 0:
            self.tally.fail(f"it ended badly: {self.running.log_text()[-500:]}")
        self.state.close()
        shutil.rmtree(self.work, ignore_errors=True)


def chaos(program, model, seconds, clients=8, seed=1, cut_readers=CUT_READERS):
    """Returns the figures; "failures" names what is wrong."""
    trial = Chaos(str(program), str(model), seed)
    try:
        figures = trial.run(seconds, clients)
    finally:
        trial.close()
    wrong = cut_slow_readers(program, cut_readers)
    return figures | {"failures": trial.tally.wrong + wrong}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    figures = chaos(args.program, args.model, 60 * args.minutes, args.clients, args.seed)
    print(json.dumps(figures))
    sys.exit(1 if figures["failures"] else 0)


if __name__ == "__main__":
    main()
