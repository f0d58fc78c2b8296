#!/usr/bin/env python3
"""Compares our rendering of real chat templates with Python's jinja2, byte by byte.

    PIPPIN_TEST_TEMPLATES=DIRECTORY template_parity.py BUILD/pippin_render [--verbose]

Each *.jinja file under the directory is rendered with the conversations below. jinja2 is set up as transformers does
it. A case passes when both give the same bytes, or both raise the same message by raise_exception. Cases that Python
fails to render in another way prove nothing and are counted apart. Ends with status 77, "skipped", without templates
or jinja2.
"""

import datetime
import json
import os
import pathlib
import subprocess
import sys

UNIX_TIME = 1_721_955_600  # 2024-07-26

# Templates whose difference is known: their file's name, and why.
KNOWN = {
    "functionary-medium-v3.1": "`text|safe + string` escapes the string in Python",
}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def call(name, arguments, id="call_1"):
    return {"type": "function", "id": id, "function": {"name": name, "arguments": arguments}}


def tool(text, name="get_weather", id="call_1"):
    return {"role": "tool", "tool_call_id": id, "name": name, "content": text}


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'Tells the weather: "now" & <soon>.',
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The city's name"},
                "days": {"type": "integer", "minimum": 1, "default": 3},
                "unit": {"type": "string", "enum": ["C", "F"]},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["city"],
        },
    },
}
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Searches.\nThe web.",
        "parameters": {
            "type": "object",
            "properties": {
                "query": {"type": ["string", "null"]},
                "filter": {
                    "type": "object",
                    "properties": {"since": {"type": "string"}},
                    "additionalProperties": False,
                },
            },
        },
    },
}
EMPTY_TOOL = {
    "type": "function",
    "function": {"name": "ping", "description": "", "parameters": {"type": "object", "properties": {}}},
}
TRICKY = "  Grüße 😀 你好 \t«x»\r\n\n'single' \"double\" <b>&amp;</b> \\n {{ x }} {% y %} \u00a0\u200d end \n"

# (name, messages, further context)
CONVERSATIONS = [
    ("one user", [user("Hello!")], {}),
    ("one user, no prompt", [user("Hello!")], {"add_generation_prompt": False}),
    ("system", [system("Be brief."), user("Hi")], {}),
    (
        "turns",
        [
            system("You are a poet."),
            user("Write."),
            assistant("Roses are red."),
            user("More."),
            assistant("Violets are blue."),
            user("Thanks"),
        ],
        {},
    ),
    ("turns without system", [user("a"), assistant("b"), user("c")], {}),
    ("answer last", [user("a"), assistant("b")], {"add_generation_prompt": False}),
    ("empty answer", [user("a"), assistant(""), user("c")], {}),
    ("odd text", [system(TRICKY), user(TRICKY), assistant(TRICKY), user(TRICKY)], {}),
    ("reasoning", [user("2+2?"), assistant("4", reasoning_content="Two and two.\n\nFour."), user("3+3?")], {}),
    ("inline think", [user("2+2?"), assistant("<think>\nTwo and two.\n</think>\n\n4"), user("3+3?")], {}),
    ("thinking on", [user("Why?")], {"enable_thinking": True, "thinking": True}),
    ("thinking off", [user("Why?")], {"enable_thinking": False, "thinking": False}),
    ("tools", [user("Weather in Ulm?")], {"tools": [WEATHER, SEARCH, EMPTY_TOOL]}),
    ("tools and system", [system("Be brief."), user("Weather in Ulm?")], {"tools": [WEATHER]}),
    (
        "tool call",
        [
            user("Weather in Ulm?"),
            assistant("", tool_calls=[call("get_weather", {"city": "Ulm", "days": 2})]),
            tool('{"temp": 21.5}'),
            assistant("21.5 degrees."),
            user("Thanks"),
        ],
        {"tools": [WEATHER]},
    ),
    (
        "tool call as string",
        [
            user("Weather?"),
            assistant(None, tool_calls=[call("get_weather", '{"city": "Ulm", "days": 2}')]),
            tool("sunny"),
        ],
        {"tools": [WEATHER]},
    ),
    (
        "parallel calls",
        [
            user("Both"),
            assistant(
                "Let me see.",
                tool_calls=[
                    call("get_weather", {"city": "Köln"}, "call_a"),
                    call("search", {"query": None, "filter": {"since": "2024"}}, "call_b"),
                ],
            ),
            tool("rain", id="call_a"),
            tool("[1, 2]", "search", "call_b"),
        ],
        {"tools": [WEATHER, SEARCH]},
    ),
    (
        "numbers",
        [
            user("x"),
            assistant(
                "",
                tool_calls=[
                    call(
                        "f",
                        {
                            "a": 1.0,
                            "b": 1e-7,
                            "c": 1e20,
                            "d": -0.5,
                            "e": True,
                            "f": None,
                            "g": [1, [2.5, "x'y"]],
                            "h": {"k\n": "v\u00a0"},
                            "i": 12345678901234,
                        },
                    )
                ],
            ),
            tool("ok", "f"),
        ],
        {"tools": [SEARCH]},
    ),
    (
        "content parts",
        [
            user([{"type": "text", "text": "What is "}, {"type": "text", "text": "this?"}]),
            assistant([{"type": "text", "text": "A cat."}]),
            user("Sure?"),
        ],
        {},
    ),
    (
        "documents and dates",
        [user("Sum up.")],
        {
            "documents": [{"title": "One", "text": "First text."}, {"title": "Two", "text": "Second 'text'."}],
            "date_string": "26 Jul 2024",
            "custom_tools": None,
        },
    ),
]


def context_of(messages, further):
    context = {
        "messages": messages,
        "tools": None,
        "documents": None,
        "add_generation_prompt": True,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
    }
    return {**context, **further}


def environment():
    """jinja2 as transformers' chat_template_utils sets it up."""
    import jinja2
    import jinja2.ext
    import jinja2.sandbox

    class Generation(jinja2.ext.Extension):
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_support"), [], [], body).set_lineno(line)

        def _support(self, caller):
            return caller()

    def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = to_json
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.datetime.fromtimestamp(UNIX_TIME).strftime(form)
    return env


def python_answers(source, contexts):
    import jinja2

    try:
        template = environment().from_string(source)
    except Exception as error:  # whatever Python makes of it
        return [("?", str(error))] * len(contexts)
    answers = []
    for context in contexts:
        try:
            answers.append(("=", template.render(**json.loads(json.dumps(context)))))
        except jinja2.exceptions.TemplateError as error:
            raised = type(error) is jinja2.exceptions.TemplateError
            answers.append(("!" if raised else "?", str(error)))
        except Exception as error:
            answers.append(("?", str(error)))
    return answers


def our_answers(program, jobs):
    def chunk(text):
        data = text.encode()
        return b"%d\n%s\n" % (len(data), data)

    given = b"".join(
        chunk(source) + chunk(str(len(contexts))) + b"".join(chunk(json.dumps(c)) for c in contexts)
        for source, contexts in jobs
    )
    out = subprocess.run([program, str(UNIX_TIME)], input=given, stdout=subprocess.PIPE, check=True).stdout
    answers, at = [], 0
    while at < len(out):
        end = out.index(b"\n", at)
        size = int(out[at:end])
        text = out[end + 1 : end + 1 + size].decode()
        answers.append((text[0], text[1:]))
        at = end + size + 2
    return answers


def main():
    directory = os.environ.get("PIPPIN_TEST_TEMPLATES")
    try:
        import jinja2  # noqa: F401
    except ImportError:
        print("skipped: jinja2 is not installed")
        return 77
    if not directory:
        print("skipped: PIPPIN_TEST_TEMPLATES names no directory of *.jinja files")
        return 77
    program, verbose = sys.argv[1], "--verbose" in sys.argv
    files = sorted(pathlib.Path(directory).rglob("*.jinja"))
    contexts = [context_of(messages, further) for _, messages, further in CONVERSATIONS]
    sources = [file.read_bytes().decode() for file in files]
    ours = iter(our_answers(program, [(source, contexts) for source in sources]))
    count = dict.fromkeys(["passed", "failed", "known", "unrenderable", "lenient"], 0)
    for file, source in zip(files, sources):
        for (name, _, _), python in zip(CONVERSATIONS, python_answers(source, contexts)):
            mine = next(ours)
            if python == mine:
                verdict = "passed" if python[0] == "=" or python[0] == "!" else "unrenderable"
            elif python[0] == "?":
                verdict = "lenient" if mine[0] == "=" else "unrenderable"
            else:
                verdict = (
                    "known" if any(file.name.find(part) >= 0 for part in KNOWN) and python[0] == "=" else "failed"
                )
            count[verdict] += 1
            if verdict == "failed" or (verbose and verdict in ("known", "lenient")):
                print(f"{verdict}: {file.name}, {name}")
                print(f"  python {python[0]}{explain(python[1], mine[1])}")
                print(f"  ours   {mine[0]}{explain(mine[1], python[1])}")
    print(
        f"{len(files)} templates, {len(CONVERSATIONS)} conversations: {count['known']} known differences, "
        f"{count['unrenderable']} fail in both, {count['lenient']} fail in Python only"
    )
    print(f"{count['passed']} passed, {count['failed']} failed")
    return 1 if count["failed"] or not count["passed"] else 0


def explain(text, other):
    """The place where a text differs from another."""
    at = next((i for i, (a, b) in enumerate(zip(text, other)) if a != b), min(len(text), len(other)))
    return repr(text[max(0, at - 40) : at + 60])


if __name__ == "__main__":
    sys.exit(main())
