"""Grammars and templates that nest, repeat and double."""

import json

from . import Attack

CHAT = "/v1/chat/completions"
STARS = 'root ::= "a"' + "*" * 32_700


def tool(syntax, definition):
    grammar = {"type": "grammar", "grammar": {"syntax": syntax, "definition": definition}}
    return {"type": "custom", "custom": {"name": "t", "format": grammar}}


def refused(server, path, **body):
    """Posts with one token to be generated; asserts that it is refused as the client's mistake."""
    sent = json.dumps({"model": "default", "max_tokens": 1} | body).encode()
    status, _, answer = server.request("POST", path, sent, {"content-type": "application/json"})
    assert status in (400, 413), (status, answer[:200])
    assert json.loads(answer)["error"]["message"]


def nested_repetitions(server):
    function = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    chat = {"messages": [{"role": "user", "content": "Hi"}], "tools": [function]}
    refused(server, CHAT, grammar=STARS, **chat)
    refused(server, "/completion", prompt="Hi", grammar=STARS)
    refused(server, "/v1/completions", prompt="Hi", grammar=STARS)


def nested_groups(server):
    deep = "(" * 100_000 + '"a"' + ")" * 100_000
    for definition in (f"start: {deep}", f"start: T\nT: {deep}", f"start: /{deep}/", "start: " + "~" * 100_000):
        chat = {"messages": [{"role": "user", "content": "Hi"}], "tools": [tool("lark", definition)]}
        refused(server, CHAT, **chat)
    refused(server, "/completion", prompt="Hi", grammar=f"root ::= {deep}")
    chat = {"messages": [{"role": "user", "content": "Hi"}], "tools": [tool("regex", "(" * 100_000)]}
    refused(server, CHAT, **chat)


def nested_schemas(server):
    schema = '{"items":' * 5_000 + "{}" + "}" * 5_000
    body = '{"model":"default","max_tokens":1,"prompt":"Hi","json_schema":' + schema + "}"
    assert server.request("POST", "/completion", body.encode(), {"content-type": "application/json"})[0] == 400


ATTACKS = [
    Attack("grammar: repetitions of repetitions", nested_repetitions),
    Attack("grammar: groups in groups", nested_groups),
    Attack("grammar: schemas in schemas", nested_schemas),
]
