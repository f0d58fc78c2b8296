#!/usr/bin/env python3
"""How well a served model calls tools: the 60 kept tasks of tests/serve/tool_tasks.json.

    pippin serve Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf &
    bench/serve/tool_tasks.py --url http://127.0.0.1:8000/v1

Modes: auto, required, named, schema (response_format json_schema, streamed, 8 at once). Any OpenAI-compatible server
will do.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import openai

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "serve"))
import tool_tasks  # noqa: E402


def run_tasks(client, model, mode, streams, at_once, verbose):
    def one(task):
        choice = {"type": "function", "function": {"name": task["name"]}} if mode == "named" else mode
        try:
            calls = tool_tasks.ask(client, task, model, stream=streams, tool_choice=choice)
        except openai.OpenAIError as error:
            return tool_tasks.Verdict(why=str(error))
        return tool_tasks.judge(task, calls)

    with ThreadPoolExecutor(at_once) as pool:
        verdicts = list(pool.map(one, tool_tasks.TASKS))
    if verbose:
        for task, verdict in zip(tool_tasks.TASKS, verdicts):
            if verdict.why:
                print(f"  {task['prompt']}\n    {verdict.why}")
    total = {name: sum(getattr(verdict, name) for verdict in verdicts) for name in ("called", "valid", "right")}
    counts = "".join(f"{name} {count}/{len(verdicts)}  " for name, count in total.items())
    print(f"{mode:9} {'streamed' if streams else 'whole':9}{counts}")
    return total


def run_schemas(client, model, at_once):
    def one(task):
        form = {"name": task["name"], "schema": task["schema"], "strict": True}
        chunks = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": task["prompt"]}],
            response_format={"type": "json_schema", "json_schema": form},
            temperature=0.7,
            max_tokens=400,
            stream=True,
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        try:
            jsonschema.validate(json.loads(text), task["schema"])
            return ""
        except (ValueError, jsonschema.ValidationError) as error:
            return f"{text!r}: {str(error).splitlines()[0]}"

    with ThreadPoolExecutor(at_once) as pool:
        faults = [fault for fault in pool.map(one, tool_tasks.SCHEMAS * 4) if fault]
    print(f"schema    streamed valid {len(tool_tasks.SCHEMAS) * 4 - len(faults)}/{len(tool_tasks.SCHEMAS) * 4}")
    for fault in faults:
        print("  " + fault)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--modes", default="auto,required,named,schema")
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    client = openai.OpenAI(base_url=options.url, api_key="none", max_retries=0, timeout=600)
    model = client.models.list().data[0].id
    for mode in options.modes.split(","):
        if mode == "schema":
            run_schemas(client, model, options.at_once)
        else:
            run_tasks(client, model, mode, options.stream, options.at_once, options.verbose)


if __name__ == "__main__":
    main()
