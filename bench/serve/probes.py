#!/usr/bin/env python3
"""What a user notices of the engine's cache and fairness, measured over HTTP and checked against the promises.

    bench/serve/probes.py --url http://127.0.0.1:8000 [second_turn shared_prompt choices fairness]

One JSON line per probe. second_turn: a chat's next turn after some 2,000 tokens of history, its time to first token as
a share of the cold one's (promise: at most 0.1). shared_prompt: twenty requests at the same moment with one system
prompt of some 1,500 tokens, how many prompt tokens were computed. choices: the same for n = 4. fairness: a short
request beside a long prefill, its time to first token in steps and in longest chunks (promise: at most 2), and the
longest pause of another stream. The server needs a context of 8192 tokens. Standard library only; loopback only.
"""

import argparse
import http.client
import json
import random
import statistics
import sys
import threading
import time
import urllib.parse
import urllib.request

WORDS = ("apple basin cedar delta ember flint grove hazel inlet jetty knoll larch maple north ochre pearl quill ridge "
         "slate thorn umber vault wharf yarrow zephyr anchor bridge cellar dune estuary fern granite").split()
TIMEOUT_S = 300


def text_of(words, seed):
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(words))


def engine_of(url):
    """The figures of the first model's engine, as GET /v1/status has them."""
    with urllib.request.urlopen(url + "/v1/status", timeout=TIMEOUT_S) as answer:
        return json.load(answer)["models"][0]


class Chat:
    """One streamed chat: when each piece of text came, the usage, and the whole text. Leaves once `enough` is set."""

    def __init__(self, url, messages, on_text=None, enough=None, **options):
        place = urllib.parse.urlparse(url)
        body = {"model": "default", "messages": messages, "stream": True, "temperature": 0,
                "stream_options": {"include_usage": True}} | options
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=TIMEOUT_S)
        self.times, self.text, self.usage = [], "", None
        self.began = time.perf_counter()
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"HTTP {answer.status}: {answer.read()[:300]}")
            for line in answer:
                self._take(line, on_text)
                if enough and enough.is_set():
                    break
        finally:
            connection.close()

    def _take(self, line, on_text):
        if not line.startswith(b"data: {"):
            return
        event = json.loads(line[6:])
        if "error" in event:
            raise RuntimeError(str(event["error"]))
        self.usage = event.get("usage") or self.usage
        for choice in event.get("choices", []):
            if choice["delta"].get("content"):
                self.times.append(time.perf_counter())
                self.text += choice["delta"]["content"]
                if on_text:
                    on_text()

    @property
    def first_s(self):
        return self.times[0] - self.began

    @property
    def cached(self):
        return self.usage["prompt_tokens_details"]["cached_tokens"]


def user(text):
    return {"role": "user", "content": text}


def in_threads(calls):
    """Runs all calls at the same moment; returns their results in order."""
    results, errors = [None] * len(calls), []
    together = threading.Barrier(len(calls))

    def run(i):
        try:
            together.wait(TIMEOUT_S)
            results[i] = calls[i]()
        except Exception as error:  # told below, on the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def second_turn(url, history_words=1350, rounds=3, salt="second turn"):
    """Each round has its own history, so that its first turn is cold."""
    cold, warm, last = [], [], None
    for number in range(rounds):
        history = [user(text_of(history_words, f"{salt}/{number}") + ". Which word came first?")]
        first = Chat(url, history, max_tokens=16)
        history += [{"role": "assistant", "content": first.text}, user("And which one came last?")]
        second = Chat(url, history, max_tokens=16)
        cold.append(first.first_s)
        warm.append(second.first_s)
        last = (first, second)
    first, second = last
    return {"probe": "second_turn", "history_tokens": first.usage["prompt_tokens"], "cold_cached_tokens": first.cached,
            "prompt_tokens": second.usage["prompt_tokens"], "cached_tokens": second.cached,
            "cold_s": round(statistics.median(cold), 4), "warm_s": round(statistics.median(warm), 4),
            "share": round(statistics.median(warm) / statistics.median(cold), 4)}


def computed_between(before, after):
    """Prompt tokens that were computed, not found in the cache."""
    asked = after["prefix_query_tokens"] - before["prefix_query_tokens"]
    return asked - (after["prefix_hit_tokens"] - before["prefix_hit_tokens"])


def shared_prompt(url, requests=20, system_words=1080, salt="shared prompt"):
    system = {"role": "system", "content": "You know these words: " + text_of(system_words, salt)}
    alone = Chat(url, [user("Question 0?")], max_tokens=1).usage["prompt_tokens"]
    before = engine_of(url)
    chats = in_threads([lambda i=i: Chat(url, [system, user(f"Question {i}?")], max_tokens=4) for i in range(requests)])
    after = engine_of(url)
    return {"probe": "shared_prompt", "requests": requests, "prompt_tokens": chats[0].usage["prompt_tokens"],
            "own_tokens": alone, "computed_tokens": computed_between(before, after),
            "cached_tokens": sorted(chat.cached for chat in chats), "last_first_token_s":
            round(max(chat.first_s for chat in chats), 3)}


def choices(url, n=4, words=600, salt="choices"):
    before = engine_of(url)
    chat = Chat(url, [user(text_of(words, salt) + ". Go on.")], n=n, max_tokens=8, temperature=1, seed=7)
    after = engine_of(url)
    return {"probe": "choices", "n": n, "prompt_tokens": chat.usage["prompt_tokens"], "cached_tokens": chat.cached,
            "computed_tokens": computed_between(before, after),
            "completion_tokens": chat.usage["completion_tokens"]}


class Background:
    """A chat on a thread of its own."""

    def __init__(self, url, messages, **options):
        self.chat, self.error, self.stamps, self.enough = None, None, [], threading.Event()
        self.thread = threading.Thread(target=self._run, args=(url, messages, options))
        self.thread.start()

    def _run(self, url, messages, options):
        try:
            self.chat = Chat(url, messages, on_text=lambda: self.stamps.append(time.perf_counter()),
                             enough=self.enough, **options)
        except Exception as error:
            self.error = error

    def join(self):
        self.thread.join(TIMEOUT_S)
        if self.error:
            raise self.error
        return self.chat


def wait_for(condition, what, limit_s=TIMEOUT_S):
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {limit_s} s: {what}")
        time.sleep(0.005)


def fairness(url, long_words=5300, salt="fairness"):
    """The short request comes while the long prompt is computed and another stream runs."""
    stream = Background(url, [user("Count to one thousand.")], max_tokens=4000, ignore_eos=True)
    wait_for(lambda: len(stream.stamps) > 3, "the stream runs")
    prompt_before = engine_of(url)["prompt_tokens"]
    long_began = time.perf_counter()
    long = Background(url, [user(text_of(long_words, f"{salt}/{time.time()}") + ". Which word came first?")],
                      max_tokens=2)
    wait_for(lambda: engine_of(url)["prompt_tokens"] > prompt_before, "the long prompt is admitted")
    time.sleep(0.3)  # into its middle; the steps below say how many chunks passed, whatever this pause is
    steps_before = engine_of(url)["steps"]
    steps_at_first = []
    brief = Chat(url, [user("Name a river.")], max_tokens=4,
                 on_text=lambda: steps_at_first or steps_at_first.append(engine_of(url)["steps"]))
    long_is_prefilling = not long.stamps
    long_chat = long.join()
    stream.enough.set()
    stream.join()
    during = [s for s in stream.stamps if long_began <= s <= long.stamps[0]]
    gaps = [b - a for a, b in zip(during, during[1:])]
    return {"probe": "fairness", "long_tokens": long_chat.usage["prompt_tokens"],
            "short_tokens": brief.usage["prompt_tokens"], "still_prefilling": long_is_prefilling,
            "steps_to_first_token": steps_at_first[0] - steps_before, "short_first_s": round(brief.first_s, 4),
            "chunk_median_s": round(statistics.median(gaps), 4), "longest_pause_s": round(max(gaps), 4),
            "first_in_longest_chunks": round(brief.first_s / max(gaps), 3), "stream_tokens_meanwhile": len(during),
            "long_first_s": round(long_chat.first_s, 3)}


PROBES = {probe.__name__: probe for probe in (second_turn, shared_prompt, choices, fairness)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("probes", nargs="*", choices=[*PROBES, []], help="all, if none is named")
    parser.add_argument("--url", required=True)
    args = parser.parse_args()
    if urllib.parse.urlparse(args.url).hostname not in ("127.0.0.1", "localhost", "::1"):
        sys.exit("probes: expected a loopback address")
    for name in args.probes or PROBES:
        print(json.dumps(PROBES[name](args.url.rstrip("/"))), flush=True)


if __name__ == "__main__":
    main()
