#!/usr/bin/env python3
"""Makes a transcript for tests/serve/transcripts of a record that drive.py wrote.

    transcribe.py RECORD TRANSCRIPT --client "Codex 0.169.0" [--task "what it was asked"]

The client's own texts do not come along: each is told by its length and its number of lines, and replay.py puts filler
of that shape in their place. Names, types, schemas and short values stay: they are the API's. Standard library only.
"""

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "serve"))

import answers
import recorder

# Never texts, however long.
KEPT = {"$schema", "call_id", "id", "model", "name", "pattern", "prompt_cache_key", "role", "signature",
        "tool_call_id", "tool_use_id", "type", "enum", "required"}
LEFT_OUT_HEADERS = {"host", "content-length", "connection", "authorization", "x-api-key", "accept-encoding"}
TEXT_CHARS = 24  # shorter ones say nothing
WORD_CHARS = 64
SHARED_CHARS = 120
FOLDER = re.compile(r"/[^\s\"'<>`]*pippin-client-\w+")


class Filler:
    """Puts marks in place of texts; the same text gets the same mark everywhere. The model has its name from a file of
    the recording's machine: here it is the default one."""

    def __init__(self, model):
        self.numbers, self.model = {}, model

    def mark(self, text):
        number = self.numbers.setdefault(text, len(self.numbers))
        return f"<{len(text)}/{text.count(chr(10)) + 1}#{number}>"

    def value(self, value, key=""):
        if isinstance(value, dict):
            return {name: self.value(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, key) for item in value]
        if value == self.model:
            return "default"
        if not isinstance(value, str) or key in KEPT:
            return value
        if key == "definition":
            sys.exit("a grammar must stay one: put one of ours in its place by hand")
        if key == "arguments" and value.startswith("{"):
            return json.dumps(self.value(json.loads(value)))
        value = FOLDER.sub("/srv", value)
        is_text = len(value) > WORD_CHARS or (len(value) > TEXT_CHARS and re.search(r"\s", value))
        return self.mark(value) if is_text else value


def written(value):
    return json.dumps(value)


def count(value, counts):
    if isinstance(value, (dict, list)):
        if len(text := written(value)) >= SHARED_CHARS:
            counts[text] += 1
        for item in value.values() if isinstance(value, dict) else value:
            count(item, counts)


def share(value, counts, shared):
    """What comes more than once is written once, and referred to."""
    if isinstance(value, (dict, list)):
        text = written(value)
        if counts[text] > 1:
            return {"$same": shared.setdefault(text, len(shared))}
    if isinstance(value, dict):
        return {name: share(item, counts, shared) for name, item in value.items()}
    return [share(item, counts, shared) for item in value] if isinstance(value, list) else value


def transcript(exchanges, client, task):
    launch = next(exchange for exchange in exchanges if exchange["path"] == "/v1/status")
    filler, kept = Filler(json.loads(launch["answer"])["model"]), []
    for exchange in exchanges:
        if exchange["path"] == "/v1/status":
            continue  # pippin launch, which asks for the model
        headers = {k: v for k, v in exchange["headers"].items() if k.lower() not in LEFT_OUT_HEADERS}
        made = {"method": exchange["method"], "path": exchange["path"], "status": exchange["status"],
                "headers": filler.value(headers)}
        if exchange["body"]:
            made["body"] = filler.value(json.loads(exchange["body"]))
            made["streamed"] = answers.is_stream(exchange["answer_headers"])
            made["warnings"] = answers.warnings(exchange["answer"])
        kept.append(made)
    counts, shared = Counter(), {}
    count([[exchange["headers"], exchange.get("body")] for exchange in kept], counts)
    kept = [exchange | {part: share(exchange[part], counts, shared) for part in ("headers", "body") if part in exchange}
            for exchange in kept]
    return {
        "about": "Requests of a real client, recorded by tests/clients. A text <n/l#i> stands for the client's i-th "
                 "text, of n characters in l lines; {\"$same\": k} is the k-th of shared.",
        "client": client,
        "task": task,
        "shared": [json.loads(text) for text in shared],
        "exchanges": kept,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("record", type=Path)
    parser.add_argument("transcript", type=Path)
    parser.add_argument("--client", required=True)
    parser.add_argument("--task", default="to read a file and tell what it says, in two turns")
    arguments = parser.parse_args()
    made = transcript(recorder.read(arguments.record), arguments.client, arguments.task)
    arguments.transcript.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
