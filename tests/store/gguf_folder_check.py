#!/usr/bin/env python3
"""GGUF files that `pippin convert` makes of folders, in llama.cpp: they load in llama-server, texts give the
tokens that they give in the folder, and greedy answers are those of pippin over the same file. Where weights are
quantised, both programs round activations in their own way: there answers may part at a near tie.

    tests/store/gguf_folder_check.py PATH_OF_PIPPIN PATH_OF_LLAMA_SERVER [FOLDER...]

Without FOLDER, of every folder among the fixtures that has a tokenizer and a family that is converted.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench/serve"))
from server import Server  # noqa: E402

FIXTURES = pathlib.Path(__file__).parents[1] / "models/fixtures"
PROMPTS = ["the rain in the ", "One two three, 1234567 times: don't stop\n\n  at all.", "a"]
TIES = {"f16": 0.0, "q8_0": 0.1}  # by format: natural logarithms of probabilities


def post(server, path, body):
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(),
                                     {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def tokens(server):
    """Of each prompt, by llama-server's route, which both have."""
    return [post(server, "/tokenize", {"content": prompt, "add_special": True})["tokens"] for prompt in PROMPTS]


def answers(server):
    return [post(server, "/completion", {"prompt": prompt, "n_predict": 16, "temperature": 0, "n_probs": 5})
            for prompt in PROMPTS]


def parted_by(own, other):
    """How much less likely the other answer's first differing token is to the first; 0 of answers alike."""
    if own["content"] == other["content"]:
        return 0.0
    for mine, theirs in zip(own["completion_probabilities"], other["completion_probabilities"]):
        if mine["id"] != theirs["id"]:
            likely = {token["id"]: token["logprob"] for token in mine["top_logprobs"]}
            return mine["logprob"] - likely.get(theirs["id"], -float("inf"))
    return float("inf")


def check(pippin, peer, source, work):
    for form, tie in TIES.items():
        out = work / f"{source.name}-{form}.gguf"
        made = subprocess.run([pippin, "convert", source, "--to", form, "--out", out], capture_output=True, text=True)
        if "are not converted to GGUF" in made.stderr:
            print(f"{source.name}: its family is not converted")
            return
        assert made.returncode == 0, made.stderr
        with Server([pippin, "serve", source]) as server:
            wanted = tokens(server)
        with Server([pippin, "serve", out]) as server:
            read, answered = tokens(server), answers(server)
        with Server([peer, "-m", out, "-c", 256, "--no-jinja"]) as server:
            there, peers = tokens(server), answers(server)
        assert wanted == read == there, (source.name, form, wanted, read, there)
        parted = [parted_by(*pair) for pair in zip(answered, peers, strict=True)]
        assert max(parted) <= tie, (source.name, form, parted)
        print(f"{source.name} {form}: {sum(map(len, wanted))} tokens alike, answers parted by {parted}")


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
