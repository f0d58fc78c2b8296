#!/usr/bin/env python3
"""Writes random texts under JSON Schemas and checks every one with the jsonschema package.

    PIPPIN_TEST_MODELS=DIR schema_suite.py BUILD/tests/text/pippin_walk [--verbose] [--times]

The schemas are those of the JSON Schema Test Suite (draft 2020-12, the required part; tools/fetch schema-tests) and 300
of JSONSchemaBench's variety that schemas.py makes. A schema may be refused, if the message names why; a text that is
written must be valid. Walks that do not end within their tokens are counted and must be rare. --times prints how long
compiling and each step took. Ends with status 77, "skipped", without a model or the jsonschema package.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys

import schemas

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SUITE = ROOT / ".deps/schema-tests"
MODELS = ["qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "SmolLM2-135M-Instruct.Q4_1.gguf"]
WALKS = 4
# Of all walks: a random one through nested lists need not find its way out.
ENDLESS_MAX = 0.1


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def suite_schemas():
    """(name, schema) of each group of the required part."""
    for path in sorted(SUITE.glob("*.json")):
        for group in json.loads(path.read_text()):
            yield f"{path.stem}: {group['description']}", group["schema"]


def walk(program, model, cases):
    """Yields the walker's answer for each case."""
    request = bytearray()
    for seed, (_, schema) in enumerate(cases):
        text = json.dumps(schema).encode()
        request += f"json {seed * WALKS} {WALKS} {len(text)}\n".encode() + text + b"\n"
    done = subprocess.run([program, model], input=bytes(request), capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"the walker ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    lines = done.stdout.decode().splitlines()
    if len(lines) != len(cases):
        sys.exit(f"{len(cases)} schemas, {len(lines)} answers")
    return [json.loads(line) for line in lines]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def main():
    try:
        import jsonschema
    except ImportError:
        venv = ROOT / ".deps/venv"
        if pathlib.Path(sys.prefix) != venv and (venv / "bin/python").is_file():
            os.execv(venv / "bin/python", [str(venv / "bin/python"), *sys.argv])
        skip("the jsonschema package is not installed")
    folder = pathlib.Path(os.environ.get("PIPPIN_TEST_MODELS", ""))
    model = next((folder / name for name in MODELS if (folder / name).is_file()), None)
    if model is None:
        skip("PIPPIN_TEST_MODELS names no folder with a model")
    cases = list(schemas.make(300))
    suite = list(suite_schemas())
    if not suite:
        print("note: the JSON Schema Test Suite is not here; tools/fetch schema-tests gets it")
    cases += suite
    tally, refusals, steps, compiles, wrong = collections.Counter(), collections.Counter(), [], [], []
    for (name, schema), answer in zip(cases, walk(sys.argv[1], str(model), cases)):
        if "error" in answer:
            tally["refused"] += 1
            refusals[answer["error"].split("\n")[0][:90]] += 1
            if answer["code"] == "internal" or not answer["error"]:
                wrong.append(f"{name}: {answer}")
            if name.startswith("made"):
                wrong.append(f"{name} is refused: {answer['error'][:200]}")
            continue
        tally["compiled"] += 1
        compiles.append(answer["compile_ms"])
        steps += answer["step_us"]
        tally["jump-forward tokens"] += answer["forced"]
        tally["without an end"] += WALKS - len(answer["texts"])
        validator = jsonschema.Draft202012Validator(
            schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
        for text in answer["texts"]:
            tally["texts"] += 1
            try:
                validator.validate(json.loads(text))
            except (ValueError, jsonschema.ValidationError) as error:
                wrong.append(f"{name}: {json.dumps(schema)[:300]}\n  wrote {text[:300]}\n  {str(error)[:200]}")
    print(", ".join(f"{count} {what}" for what, count in sorted(tally.items())))
    if "--verbose" in sys.argv:
        for message, count in refusals.most_common():
            print(f"{count:4} {message}")
    if "--times" in sys.argv:
        print(f"compile ms: median {percentile(compiles, .5):.1f}, p99 {percentile(compiles, .99):.1f}")
        print(f"step us: median {percentile(steps, .5):.1f}, p99 {percentile(steps, .99):.1f}, "
              f"max {max(steps):.0f}, of {len(steps)}")
    for mistake in wrong:
        print("WRONG", mistake)
    if tally["without an end"] > ENDLESS_MAX * WALKS * tally["compiled"]:
        wrong.append("too many walks do not end")
        print("WRONG", wrong[-1])
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
