"""The kept tool tasks (tool_tasks.json): asks a server for one, and judges the answer."""

import json
from dataclasses import dataclass
from pathlib import Path

import jsonschema

KEPT = json.loads((Path(__file__).parent / "tool_tasks.json").read_text())
TOOLS = {tool["function"]["name"]: tool for tool in KEPT["tools"]}
TASKS = KEPT["tasks"]
SCHEMAS = KEPT["schemas"]


@dataclass
class Verdict:
    called: bool = False  # there is a call
    valid: bool = False  # of an offered tool, with arguments that fit its schema
    right: bool = False  # of the right tool, with the right values
    why: str = ""


def _same(expected, got):
    """Texts need only hold what is expected: models add words. Of a list, one is enough."""
    if isinstance(expected, list):
        return any(_same(one, got) for one in expected)
    if isinstance(expected, str):
        return isinstance(got, str) and expected.lower() in got.lower()
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    return isinstance(got, (int, float)) and abs(got - expected) < 1e-9


def judge(task, calls):
    """Judges [(name, arguments as JSON)], of which the first counts."""
    if not calls:
        return Verdict(why="no call")
    name, arguments = calls[0]
    if name not in task["tools"]:
        return Verdict(True, why=f"{name} is not on offer")
    try:
        values = json.loads(arguments)
        jsonschema.validate(values, TOOLS[name]["function"]["parameters"])
    except (ValueError, jsonschema.ValidationError) as error:
        return Verdict(True, why=f"{name} {arguments}: {str(error).splitlines()[0]}")
    if name != task["name"]:
        return Verdict(True, True, why=f"{name} instead of {task['name']}")
    wrong = {key: values.get(key) for key, value in task["arguments"].items() if not _same(value, values.get(key))}
    return Verdict(True, True, not wrong, f"{name}: {wrong}" if wrong else "")


def request(task, model, **options):
    """The members of a chat request for a task."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": task["prompt"]}],
        "tools": [TOOLS[name] for name in task["tools"]],
        "temperature": 0,
        "max_tokens": 160,
    } | options


def ask(client, task, model, stream=False, **options):
    """Asks through the openai package; returns the calls as judge() takes them."""
    if not stream:
        message = client.chat.completions.create(**request(task, model, **options)).choices[0].message
        return [(call.function.name, call.function.arguments) for call in message.tool_calls or []]
    calls = {}
    for chunk in client.chat.completions.create(stream=True, **request(task, model, **options)):
        for piece in chunk.choices[0].delta.tool_calls or [] if chunk.choices else []:
            call = calls.setdefault(piece.index, ["", ""])
            call[0] += piece.function.name or ""
            call[1] += piece.function.arguments or ""
    return [tuple(call) for _, call in sorted(calls.items())]
