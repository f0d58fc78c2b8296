#!/usr/bin/env python3
"""Counts the prompts whose greedy answer is llama.cpp's, character by character. Standard library only; loopback only.

    tests/engine/model/greedy_agreement.py PIPPIN [--model FILE] [--peer LLAMA_SERVER] [--tokens 24] [--needed 9]

Both servers get 12 plain prompts and the same weights, twice:

- exact: pippin with --cpu-activations f32, llama.cpp with the file widened to F32 by its own llama-quantize, which
  stands beside the server. Nothing is rounded to int8 on either side, so what differs is a fault; --needed must agree.
- as they come: both round activations to int8, each in its own way. That moves log probabilities of the likeliest
  tokens by 0.05 on average, while a tenth of the greedy steps has a margin below 0.18: over 24 tokens such answers
  part by chance, and llama.cpp's own part from its exact ones as often. The counts are printed, and pippin may keep
  to the exact answers in at most 4 prompts fewer than llama.cpp does.

Exits 0 if both hold, 1 if not, 77 (skipped) without a peer (--peer or PIPPIN_PEER_SERVER) or a model (--model,
or Gemma 3 270M in PIPPIN_TEST_MODELS).
"""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

SKIPPED = 77
WORSE_MAX = 4
READY_S = 180
PROMPTS = (
    "The capital of France is",
    "Water boils at a temperature of",
    "Once upon a time there was a little girl who",
    "The three primary colours are",
    "def fibonacci(n):\n    \"\"\"Returns the n-th Fibonacci number.\"\"\"\n",
    "Photosynthesis is the process by which plants",
    "The largest planet of the solar system is",
    "To make a cup of tea, first",
    "In 1969, Neil Armstrong",
    "Q: What is the opposite of hot?\nA:",
    "The quick brown fox",
    "Dear Sir or Madam,\n\nI am writing to",
)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A running program that answers /v1/completions; ends with the block."""

    def __init__(self, command, port):
        self.url, self.command = f"http://127.0.0.1:{port}", [str(word) for word in command]

    def __enter__(self):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PIPPIN_")}
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        stdin=subprocess.DEVNULL, env=kept)
        end = time.monotonic() + READY_S
        while True:
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=5) as answer:
                    if answer.status == 200:
                        return self
            except (urllib.error.URLError, OSError):
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise SystemExit(f"{self.command[0]} does not become ready")
            time.sleep(0.1)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def complete(self, prompt, tokens):
        body = {"model": "default", "prompt": prompt, "max_tokens": tokens, "temperature": 0, "cache_prompt": False}
        request = urllib.request.Request(self.url + "/v1/completions", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)["choices"][0]["text"]


def default_model():
    folder = os.environ.get("PIPPIN_TEST_MODELS")
    return pathlib.Path(folder) / "gemma-3-270m-q4_k_m.gguf" if folder else None


def answers(command, tokens, *flags):
    """The greedy answers of a server; `command` lacks only its port."""
    port = free_port()
    with Server([*command, "--port", port, *flags], port) as server:
        return [server.complete(prompt, tokens) for prompt in PROMPTS]


def agreement(name, mine, theirs, show):
    agreed = 0
    for prompt, a, b in zip(PROMPTS, mine, theirs):
        agreed += a == b
        if show and a != b:
            print(f"differs: {prompt!r}\n  ours  {a!r}\n  peer  {b!r}")
    print(f"{name}: {agreed} of {len(PROMPTS)}")
    return agreed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, default=default_model())
    parser.add_argument("--peer", default=os.environ.get("PIPPIN_PEER_SERVER"))
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--needed", type=int, default=9)
    args = parser.parse_args()
    if not args.peer or args.model is None or not args.model.is_file():
        print("skipped: no peer, or no model")
        return SKIPPED
    ours = [args.program.resolve(), "serve", args.model, "--context", 512]
    peer = [args.peer, "-c", 512, "-np", 1, "-m"]
    quantize = pathlib.Path(args.peer).with_name("llama-quantize")
    if not quantize.is_file():
        print(f"skipped: no {quantize.name} beside the peer")
        return SKIPPED
    fast, peer_fast = answers(ours, args.tokens), answers([*peer, args.model], args.tokens)
    exact = answers(ours, args.tokens, "--cpu-activations", "f32")
    with tempfile.TemporaryDirectory() as folder:
        wide = pathlib.Path(folder) / "f32.gguf"
        subprocess.run([quantize, "--allow-requantize", args.model, wide, "F32"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        peer_exact = answers([*peer, wide], args.tokens)
    print(f"{args.model.name}, greedy answers of {args.tokens} tokens that are the same")
    same = agreement("pippin exact, llama.cpp exact", exact, peer_exact, True)
    agreement("pippin int8, llama.cpp int8", fast, peer_fast, False)
    ours_kept = agreement("pippin int8, exact", fast, peer_exact, False)
    theirs_kept = agreement("llama.cpp int8, exact", peer_fast, peer_exact, False)
    return 0 if same >= args.needed and ours_kept >= theirs_kept - WORSE_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
