#!/usr/bin/env python3
"""Many clients of every manner against one server for a long time; then asks whether all came back.

    bench/serve/soak.py --program build/ci/pippin --model FILE --minutes 10 --clients 32
    bench/serve/soak.py --url http://127.0.0.1:8000 --minutes 10      (a server that already runs)
    bench/serve/soak.py --chaos --program build/ci/pippin --model FILE --minutes 15

Prompts and answers of mixed lengths, whole and streamed, one choice and several, some with an opening in common. A
fifth of the requests leave at a random moment, a twentieth is malformed, a few are cancelled by id or read slowly.
Checks: only the intended errors (400s for what is malformed, 503 with Retry-After for a full queue, the end of what was
cancelled); the server's memory in the last third within 3 % of the third before; no block leased at the end and
no request listed. With --chaos, as bench/serve/chaos.py: kills, full disks, jumping clocks, closed files and crowds
around the server, and that nothing is lost or mixed up. Prints one JSON line; the exit status is 1 if a check failed.
Standard library only; loopback only.
"""

import argparse
import asyncio
import collections
import dataclasses
import json
import pathlib
import random
import statistics
import sys
import time
import urllib.parse
import urllib.request

WORDS = ("apple basin cedar delta ember flint grove hazel inlet jetty knoll larch maple north ochre pearl quill ridge "
         "slate thorn umber vault wharf yarrow zephyr anchor bridge cellar dune estuary fern granite").split()
TINY_KV = ("--kv-memory", "24MiB", "--context", 768, "--max-queue", 20, "--max-num-seqs", 16)
SLOWEST_S = 240

MALFORMED = [
    (b'{"model": "default", "messages": [', {400}),
    (b"[]", {400}),
    (b"\xff\xfe{}", {400}),
    (b'{"model": "default", "messages": []}', {400}),
    (b'{"model": "default", "messages": [{"role": "nobody", "content": "x"}]}', {400}),
    (b'{"model": "default", "messages": [{"role": "user", "content": "x"}], "max_tokens": -1}', {400}),
    (b'{"model": "default", "messages": [{"role": "user", "content": "x"}], "temperature": "hot"}', {400}),
    (b'{"model": "default", "messages": [{"role": "user", "content": "x"}], "n": 100000}', {400}),
    (b'{"model": "nobody", "messages": [{"role": "user", "content": "x"}]}', {404}),
    (b'{"model": "default", "messages": [{"role": "user", "content": "' + b"word " * 20000 + b'"}]}', {400}),
]


@dataclasses.dataclass
class Tally:
    """What happened, by name; `wrong` holds the first few things that should not have."""

    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    wrong: list = dataclasses.field(default_factory=list)
    resident: list = dataclasses.field(default_factory=list)  # (time, bytes)

    def note(self, name):
        self.counts[name] += 1

    def fail(self, what):
        self.counts["wrong"] += 1
        if len(self.wrong) < 10:
            self.wrong.append(what)


def words(rng, count):
    return " ".join(rng.choice(WORDS) for _ in range(count))


def make_body(rng):
    """A sound request; lengths are spread evenly over their orders of magnitude."""
    prompt = words(rng, int(2 ** rng.uniform(0, 8.3)))
    if rng.random() < 0.4:
        prompt = " ".join(WORDS * (1 + rng.randrange(4))) + " " + prompt
    body = {"model": "default", "max_tokens": int(2 ** rng.uniform(0, 7.5)), "stream": rng.random() < 0.7,
            "messages": [{"role": "user", "content": prompt}], "temperature": rng.choice([0, 0.7, 1.2])}
    if rng.random() < 0.15:
        body["n"] = rng.randrange(2, 4)
    if rng.random() < 0.2:
        body["stop"] = [rng.choice(WORDS)]
    if rng.random() < 0.2:
        body["cache_salt"] = f"tenant {rng.randrange(3)}"
    if rng.random() < 0.3:
        body["ignore_eos"] = True
    if rng.random() < 0.1:
        body |= {"logprobs": True, "top_logprobs": 5}
    return body


class Connection:
    """One request on a connection of its own."""

    key = ""  # sent with every request; empty: none

    def __init__(self, url):
        self.url, self.reader, self.writer, self.sent = url, None, None, 0.0

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(self.url.hostname, self.url.port, limit=1 << 22)
        return self

    async def __aexit__(self, *_):
        self.writer.close()

    async def send(self, method, path, body=b"", request_id=""):
        head = (f"{method} {path} HTTP/1.1\r\nHost: {self.url.netloc}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n")
        if self.key:
            head += f"Authorization: Bearer {self.key}\r\n"
        if request_id:
            head += f"x-request-id: {request_id}\r\n"
        self.sent = time.monotonic()
        self.writer.write(head.encode() + b"\r\n" + body)
        await self.writer.drain()

    async def read_head(self):
        """Returns the status and the headers."""
        line = await self.reader.readline()
        if not line.startswith(b"HTTP/1.1 "):
            raise ValueError(f"closed without an answer {time.monotonic() - self.sent:.1f} s after it was asked")
        status = int(line.split()[1])
        headers = {}
        while (line := await self.reader.readline()).strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers


class Client:
    """Asks one request after the other until the time is over."""

    def __init__(self, url, tally, number, seed):
        self.url, self.tally, self.number = url, tally, number
        self.rng = random.Random(f"{seed}/{number}")
        self.asked = 0

    async def run(self, end):
        while time.monotonic() < end:
            self.asked += 1
            try:
                await asyncio.wait_for(self.ask(), SLOWEST_S)
            except (OSError, ValueError, IndexError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
                self.tally.fail(f"{type(error).__name__}: {error}")

    async def ask(self):
        kind = self.rng.random()
        if kind < 0.05:
            await self.malformed()
        elif kind < 0.25:
            await self.leave()
        elif kind < 0.28:
            await self.cancel()
        else:
            await self.read_whole(slowly=kind > 0.97)

    async def malformed(self):
        body, statuses = self.rng.choice(MALFORMED)
        async with Connection(self.url) as connection:
            await connection.send("POST", "/v1/chat/completions", body)
            status, _ = await connection.read_head()
            answer = await connection.reader.read()
        self.tally.note(f"malformed {status}")
        if status not in statuses or b'"message"' not in answer:
            self.tally.fail(f"malformed: {status} for {body[:60]}")

    async def leave(self):
        async with Connection(self.url) as connection:
            body = json.dumps(make_body(self.rng) | {"ignore_eos": True}).encode()
            if self.rng.random() < 0.1:
                body = body[: self.rng.randrange(len(body))]  # not even the whole request
            await connection.send("POST", "/v1/chat/completions", body)
            await asyncio.sleep(self.rng.expovariate(2))
        self.tally.note("left")

    async def cancel(self):
        request_id = f"soak-{self.number}-{self.asked}"
        async with Connection(self.url) as connection, Connection(self.url) as other:
            body = make_body(self.rng) | {"ignore_eos": True, "stream": True}
            await connection.send("POST", "/v1/chat/completions", json.dumps(body).encode(), request_id)
            await asyncio.sleep(self.rng.expovariate(4))
            await other.send("POST", f"/v1/requests/{request_id}/cancel")
            status, _ = await other.read_head()
            if status not in (200, 404):  # 404: not begun, or ended
                self.tally.fail(f"cancel: {status}")
            self.tally.note(f"cancel {status}")
            first, headers = await connection.read_head()
            answer = await connection.reader.read()
            self.check_status(first, headers, answer)

    async def read_whole(self, slowly):
        body = make_body(self.rng)
        async with Connection(self.url) as connection:
            await connection.send("POST", "/v1/chat/completions", json.dumps(body).encode())
            status, headers = await connection.read_head()
            if slowly:
                await asyncio.sleep(self.rng.uniform(0, 2))
            answer = await connection.reader.read()
        if not self.check_status(status, headers, answer):
            await asyncio.sleep(self.rng.uniform(0, 1))
            return
        ended = answer.count(b'"finish_reason":"') == body.get("n", 1)
        if body["stream"]:
            ended = ended and b"data: [DONE]" in answer
        if not ended:
            self.tally.fail(f"an answer without its end: {answer[-300:]!r}")
        self.tally.note("answered")

    def check_status(self, status, headers, answer):
        """Returns whether it is an answer; a full queue is none, and intended."""
        if status == 200:
            return True
        self.tally.note(f"refused {status}")
        if status == 503 and headers.get("retry-after") and b"overloaded" in answer:
            return False
        if status != 499:
            self.tally.fail(f"HTTP {status}: {answer[-300:]!r}")
        return False


def get_status(url):
    with urllib.request.urlopen(url.geturl() + "/v1/status", timeout=60) as answer:
        return json.load(answer)


async def watch_memory(url, tally, end):
    while time.monotonic() < end:
        status = await asyncio.to_thread(get_status, url)
        tally.resident.append((time.monotonic(), status["resident_bytes"]))
        await asyncio.sleep(0.5)


def growth(resident):
    """How much larger the last third is than the one before, as a share; the first third is the warm-up."""
    begin, end = resident[0][0], resident[-1][0]
    third = (end - begin) / 3
    middle = [size for when, size in resident if begin + third <= when < end - third]
    last = [size for when, size in resident if when >= end - third]
    return statistics.median(last) / statistics.median(middle) - 1 if middle and last else 0.0


def wait_until_idle(url, limit_s=60):
    """Returns the last status: idle, or what is left after the limit."""
    end = time.monotonic() + limit_s
    while True:
        status = get_status(url)
        engine = status["models"][0]
        busy = engine["running"] + engine["waiting"] + engine["paused"] + engine["blocks_leased"]
        if (busy == 0 and not status["requests"]) or time.monotonic() > end:
            return status
        time.sleep(0.1)


def soak(address, seconds, clients, seed=1, growth_max=0.03):
    """Runs the load, then the checks. Returns the figures; "failures" names what is wrong."""
    url, tally = urllib.parse.urlparse(address), Tally()

    async def load():
        end = time.monotonic() + seconds
        each = [Client(url, tally, number, seed).run(end) for number in range(clients)]
        await asyncio.gather(watch_memory(url, tally, end), *each)

    began = get_status(url)["models"][0]
    asyncio.run(load())
    status = wait_until_idle(url)
    engine = status["models"][0]
    grown = growth(tally.resident)
    failures = list(tally.wrong)
    if engine["running"] + engine["waiting"] + engine["paused"] or status["requests"]:
        failures.append(f"requests are left: {status['requests']}")
    if engine["blocks_leased"] or engine["blocks_free"] + engine["blocks_cached"] != engine["blocks_total"]:
        failures.append(f"{engine['blocks_leased']} blocks are still leased")
    if grown > growth_max:
        failures.append(f"memory grew by {100 * grown:.1f} %")
    if not tally.counts["answered"]:
        failures.append("nothing was answered")
    return {"seconds": seconds, "clients": clients, "counts": dict(sorted(tally.counts.items())),
            "generated_tokens": engine["generated_tokens"] - began["generated_tokens"],
            "preemptions": engine["preemptions"] - began["preemptions"],
            "steps": engine["steps"] - began["steps"], "blocks_total": engine["blocks_total"],
            "resident_mib": [round(size / 2**20, 1) for _, size in tally.resident[:: len(tally.resident) // 12 + 1]],
            "growth": round(grown, 4), "failures": failures}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a running server; else --program and --model start one with a tiny KV cache")
    parser.add_argument("--program")
    parser.add_argument("--model")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chaos", action="store_true", help="everything goes wrong around a server of its own")
    args = parser.parse_args()
    if args.chaos:
        if args.url or not args.program or not args.model:
            sys.exit("soak: expected --program and --model with --chaos, and no --url")
        import chaos

        figures = chaos.chaos(args.program, args.model, 60 * args.minutes, args.clients, args.seed)
    elif args.url:
        if urllib.parse.urlparse(args.url).hostname not in ("127.0.0.1", "localhost", "::1"):
            sys.exit("soak: expected a loopback address")
        figures = soak(args.url.rstrip("/"), 60 * args.minutes, args.clients, args.seed)
    else:
        if not args.program or not args.model:
            sys.exit("soak: expected --url, or --program and --model")
        sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "serve"))
        from program import Program

        with Program(*TINY_KV, model=args.model, path=args.program) as running:
            figures = soak(running.url, 60 * args.minutes, args.clients, args.seed)
    print(json.dumps(figures))
    sys.exit(1 if figures["failures"] else 0)


if __name__ == "__main__":
    main()
