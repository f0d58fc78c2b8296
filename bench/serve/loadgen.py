#!/usr/bin/env python3
"""Keeps a number of streaming chat requests in flight against an OpenAI-compatible server and times the tokens.

    bench/serve/loadgen.py --url http://127.0.0.1:8000 --clients 1,4,16

One JSON line per client count: output tokens per second over all clients, time to first token and time between tokens
(milliseconds, median and 95th percentile), failures. Tokens are counted by the server's own usage figure; the first
token is the first chunk that carries text. Prompts share nothing but the template unless --shared-words asks for an
opening in common, so that a prefix cache helps only where that is the question. Standard library only; loopback only.
"""

import argparse
import asyncio
import dataclasses
import json
import random
import statistics
import sys
import time
import urllib.parse

WORDS = ("apple basin cedar delta ember flint grove hazel inlet jetty knoll larch maple north ochre pearl quill ridge "
         "slate thorn umber vault wharf yarrow zephyr anchor bridge cellar dune estuary fern granite").split()


@dataclasses.dataclass(frozen=True)
class Load:
    """What each client does: `requests` chats one after the other, each of about `prompt_words` words."""

    requests: int = 2
    prompt_words: int = 96
    shared_words: int = 0
    max_tokens: int = 64
    ignore_eos: bool = False
    timeout_s: float = 300.0
    model: str = "default"


@dataclasses.dataclass
class Timing:
    """One request as its client saw it; `error` is None where all went well."""

    first_s: float | None = None
    gaps_s: list = dataclasses.field(default_factory=list)
    tokens: int = 0
    error: str | None = None


def chat(load, rng):
    opening = " ".join(WORDS[i % len(WORDS)] for i in range(load.shared_words))
    words = " ".join(rng.choice(WORDS) for _ in range(load.prompt_words))
    text = f"{opening} Tale {rng.randrange(10**9)}: {words}. Go on with this tale, at length.".strip()
    body = {"model": load.model, "stream": True, "stream_options": {"include_usage": True}, "temperature": 0,
            "max_tokens": load.max_tokens, "messages": [{"role": "user", "content": text}]}
    if load.ignore_eos:
        body["ignore_eos"] = True
    return body


def note_chunk(timing, event, now, start, last):
    """Adds one chunk to the timing; returns the time of the last text so far."""
    if event.get("usage"):
        timing.tokens = event["usage"]["completion_tokens"]
    delta = event["choices"][0].get("delta", {}) if event.get("choices") else {}
    if not any(delta.get(key) for key in ("content", "reasoning_content", "tool_calls")):
        return last
    if timing.first_s is None:
        timing.first_s = now - start
    else:
        timing.gaps_s.append(now - last)
    return now


async def read_stream(reader, timing, start):
    status = int((await reader.readline()).split()[1])
    if status != 200:
        timing.error = f"HTTP {status}: " + (await reader.read(4096)).decode(errors="replace")[-200:]
        return
    last = start
    async for line in reader:
        if not line.startswith(b"data:"):
            continue
        payload = line[5:].strip()
        if payload == b"[DONE]":
            break
        event = json.loads(payload)
        if "error" in event:
            timing.error = json.dumps(event["error"])[:200]
            return
        last = note_chunk(timing, event, time.perf_counter(), start, last)
    if timing.first_s is None:
        timing.error = "no text came"


async def ask(url, load, rng):
    """Sends one chat of the load and returns its Timing."""
    return await send(url, chat(load, rng), load.timeout_s)


async def send(url, body, timeout_s):
    """Sends one chat and returns its Timing."""
    timing = Timing()
    data = json.dumps(body).encode()
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n")
    start = time.perf_counter()
    writer = None
    try:
        reader, writer = await asyncio.open_connection(url.hostname, url.port or 80, limit=1 << 22)
        writer.write(head.encode() + data)
        await writer.drain()
        await asyncio.wait_for(read_stream(reader, timing, start), timeout_s)
    except (OSError, ValueError, asyncio.TimeoutError, asyncio.IncompleteReadError, IndexError) as error:
        timing.error = f"{type(error).__name__}: {error}"
    finally:
        if writer:
            writer.close()
    return timing


async def run_clients(url, load, clients, seed):
    async def client(number):
        rng = random.Random(f"{seed}/{number}")
        return [await ask(url, load, rng) for _ in range(load.requests)]

    start = time.perf_counter()
    timings = [t for each in await asyncio.gather(*map(client, range(clients))) for t in each]
    return timings, time.perf_counter() - start


def percentile(values, share):
    ordered = sorted(values)
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else None


def measure(url, load, clients, seed=1):
    """Runs one level of load; returns its figures as a dictionary."""
    timings, wall_s = asyncio.run(run_clients(urllib.parse.urlparse(url), load, clients, seed))
    done = [t for t in timings if t.error is None]
    failed = [t for t in timings if t.error is not None]
    firsts = [t.first_s for t in done]
    gaps = [gap for t in done for gap in t.gaps_s]
    return {
        "clients": clients, "done": len(done), "failed": len(failed), "wall_s": round(wall_s, 2),
        "out_tok_s": round(sum(t.tokens for t in done) / wall_s, 2),
        "tokens_mean": round(statistics.mean(t.tokens for t in done), 1) if done else 0,
        "ttft_ms_p50": percentile(firsts, 0.5), "ttft_ms_p95": percentile(firsts, 0.95),
        "itl_ms_p50": percentile(gaps, 0.5), "itl_ms_p95": percentile(gaps, 0.95),
        "first_error": failed[0].error if failed else None,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--clients", default="1,4,16")
    parser.add_argument("--seed", type=int, default=1)
    for field in dataclasses.fields(Load):
        flag = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            parser.add_argument(flag, action="store_true")
        else:
            parser.add_argument(flag, type=type(field.default), default=field.default)
    args = vars(parser.parse_args())
    if urllib.parse.urlparse(args["url"]).hostname not in ("127.0.0.1", "localhost", "::1"):
        sys.exit("loadgen: expected a loopback address")
    load = Load(**{field.name: args[field.name] for field in dataclasses.fields(Load)})
    failed = 0
    measure(args["url"], dataclasses.replace(load, requests=1), 1, seed=0)  # the first request warms caches up
    for clients in map(int, args["clients"].split(",")):
        figures = measure(args["url"], load, clients, args["seed"])
        failed += figures["failed"]
        print(json.dumps(figures), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
