#!/usr/bin/env python3
"""Compares the speed of answers that are held to a form with that of free ones, in one run, by turns.

    bench/serve/constrained.py --url http://127.0.0.1:8000 --clients 1,8

Forms: a schema that is one long string (hardly a token is forced), a list of records (names, enums and numbers, many
tokens forced), a regular expression. Every answer has the same prompt and the same number of tokens, so that the steps
have the same cost. "first" is what the first held request of the server took to its first token: after a fresh start it
shows whether the vocabulary was prepared. One JSON line for each number of clients: tokens per second from the first
token on, over all clients, medians over the turns; "ratio" is to free text, "whole_ratio" with the time to the first
token, compiling included. The target is 0.9, and more than 1 where tokens are forced. Standard library only; loopback
only.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
import urllib.parse

import loadgen

PROMPT = ("Write the members of a large crew as JSON: for each one a name, a role, the age, the port of origin and a "
          "note in one sentence. Go on for as long as you can.")
RECORD = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "role": {"enum": ["captain", "navigator", "boatswain", "carpenter", "able seaman"]},
        "years_of_age": {"type": "integer", "minimum": 16, "maximum": 70},
        "port_of_origin": {"enum": ["Amsterdam", "Bristol", "Cadiz", "Danzig", "Edinburgh"]},
        "has_signed_the_articles": {"type": "boolean"},
    },
    "required": ["name", "role", "years_of_age", "port_of_origin", "has_signed_the_articles"],
    "additionalProperties": False,
}


def schema(name, body):
    return {"response_format": {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": body}}}


FORMS = {
    "free": {"ignore_eos": True},
    "string": schema("text", {"type": "string", "minLength": 4000}),
    "records": schema("crew", {"type": "array", "items": RECORD, "minItems": 200}),
    "regex": {"regex": "([A-Za-z ,.]{1,60}\\n){200}"},
}


def body_of(form, model, max_tokens):
    return {"model": model, "stream": True, "stream_options": {"include_usage": True}, "temperature": 0,
            "max_tokens": max_tokens, "messages": [{"role": "user", "content": PROMPT}], **FORMS[form]}


async def round_of(url, form, args, clients):
    """Returns tokens per second of all clients together: from the first token on, and whole; and the time to it."""
    start = time.perf_counter()
    body = body_of(form, args.model, args.max_tokens)
    timings = await asyncio.gather(*(loadgen.send(url, body, 300.0) for _ in range(clients)))
    wall_s = time.perf_counter() - start
    for timing in timings:
        if timing.error:
            sys.exit(f"{form}: {timing.error}")
        if timing.tokens < args.max_tokens:
            sys.exit(f"{form}: an answer of {timing.tokens} tokens; expected {args.max_tokens}")
    first_s = max(timing.first_s for timing in timings)
    tokens = sum(timing.tokens for timing in timings)
    return (tokens - clients) / (wall_s - first_s), tokens / wall_s, first_s


async def measure(url, args, clients):
    found = {form: [] for form in args.forms}
    for _ in range(args.turns):
        for form in args.forms:
            found[form].append(await round_of(url, form, args, clients))
    decode, whole, first_s = ({form: statistics.median(of[i] for of in found[form]) for form in args.forms}
                              for i in range(3))
    held = [form for form in args.forms if form != "free"]
    return {"clients": clients, "tok_s": {form: round(rate, 1) for form, rate in decode.items()},
            "ratio": {form: round(decode[form] / decode["free"], 3) for form in held},
            "whole_ratio": {form: round(whole[form] / whole["free"], 3) for form in held},
            "ttft_ms": {form: round(1000 * time_s, 1) for form, time_s in first_s.items()}}


async def first_held(url, args):
    """Returns the times to the first token, in ms: free, then held for the first time, then again."""
    short = argparse.Namespace(**{**vars(args), "max_tokens": 8})
    return [round(1000 * (await round_of(url, form, short, 1))[2], 1) for form in ("free", "records", "records")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--clients", default="1,8")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--forms", default=",".join(FORMS), help="of: " + ", ".join(FORMS))
    args = parser.parse_args()
    args.forms = args.forms.split(",")
    if "free" not in args.forms or any(form not in FORMS for form in args.forms):
        sys.exit(f"constrained: expected forms of {', '.join(FORMS)}, free among them")
    url = urllib.parse.urlparse(args.url)
    if url.hostname not in ("127.0.0.1", "localhost", "::1"):
        sys.exit("constrained: expected a loopback address")
    print(json.dumps({"first_ms": dict(zip(("free", "held", "held again"), asyncio.run(first_held(url, args))))}))
    for clients in map(int, args.clients.split(",")):
        print(json.dumps(asyncio.run(measure(url, args, clients))), flush=True)


if __name__ == "__main__":
    main()
