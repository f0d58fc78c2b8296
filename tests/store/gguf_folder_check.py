#!/usr/bin/env python3
"""GGUF files that `pippin convert` makes of folders, in llama.cpp: they load in llama-server, texts give the
tokens that they give in the folder, and greedy answers are those of pippin over the same file.

    tests/store/gguf_folder_check.py PATH_OF_PIPPIN PATH_OF_LLAMA_SERVER [FOLDER...]

Without FOLDER, of every folder among the fixtures that has a tokenizer and a family that is converted.
"""

import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

FIXTURES = pathlib.Path(__file__).parents[1] / "models/fixtures"
PROMPTS = ["the rain in the ", "One two three, 1234567 times: don't stop\n\n  at all.", "a"]
FORMATS = ["f16", "q8_0"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(port, path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(),
                                     {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


@contextlib.contextmanager
def served(words):
    """Runs a server; gives its port once it answers."""
    port = free_port()
    log = tempfile.TemporaryFile()
    server = subprocess.Popen([*map(str, words), "--port", str(port)], stdout=log, stderr=log)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            if server.poll() is not None:
                log.seek(0)
                sys.exit(f"{words[0]} ended: {log.read().decode(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=30)


def tokens(port):
    """Of each prompt, by llama-server's route, which both have."""
    return [post(port, "/tokenize", {"content": prompt, "add_special": True})["tokens"] for prompt in PROMPTS]


def answers(port):
    return [post(port, "/completion", {"prompt": prompt, "n_predict": 16, "temperature": 0})["content"]
            for prompt in PROMPTS]


def check(pippin, peer, source, work):
    for form in FORMATS:
        out = work / f"{source.name}-{form}.gguf"
        made = subprocess.run([pippin, "convert", source, "--to", form, "--out", out], capture_output=True, text=True)
        if "are not converted to GGUF" in made.stderr:
            print(f"{source.name}: its family is not converted")
            return
        assert made.returncode == 0, made.stderr
        with served([pippin, "serve", source]) as port:
            wanted = tokens(port)
        with served([pippin, "serve", out]) as port:
            read, text = tokens(port), answers(port)
        with served([peer, "-m", out, "-c", 256]) as port:
            there, answered = tokens(port), answers(port)
        assert wanted == read == there, (source.name, form, wanted, read, there)
        assert text == answered, (source.name, form, text, answered)
        print(f"{source.name} {form}: {sum(map(len, wanted))} tokens and {len(PROMPTS)} answers alike")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    pippin, peer, *folders = sys.argv[1:]
    folders = [pathlib.Path(folder) for folder in folders] or sorted(
        path.parent for path in FIXTURES.glob("*/*/tokenizer.json"))
    with tempfile.TemporaryDirectory() as work:
        for folder in folders:
            check(pippin, peer, folder, pathlib.Path(work))


if __name__ == "__main__":
    main()
