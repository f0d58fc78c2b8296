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


def ambiguous_grammars(server):
    """Grammars of as many bytes as are taken that make a parser keep as many states as it can."""
    twice = "start: a\na: a a | \"x\" | \"xx\" | b\nb: a b | a | \"x\" a\n"
    chains = "start: r0\n" + "".join(f"r{i}: r{i + 1} r{i + 1} | r{i + 1} | \"x\"\n" for i in range(700))
    alternatives = "start: t*\nt: " + " | ".join(f"/x{{1,{i}}}y?/" for i in range(1, 900)) + "\n"
    for grammar in (twice, chains, alternatives):
        tools = [tool("lark", grammar + 'r700: "x"\n' if "r699" in grammar else grammar)]
        chat = {"messages": [{"role": "user", "content": "x"}], "tools": tools, "tool_choice": "required"}
        body = json.dumps({"model": "default", "max_tokens": 64} | chat).encode()
        status, _, answer = server.request("POST", CHAT, body, {"content-type": "application/json"})
        # What is too much for the budget is said so, at the start or behind some tokens.
        assert status in (200, 400, 413), (status, answer[:200])


def doubling_templates(server):
    """A made model whose Go template repeats its prompt thousands of times."""
    made = {"model": "doubled", "from": "default", "template": "{{.Prompt}}" * 5_000, "stream": False}
    body = json.dumps(made).encode()
    headers = {"content-type": "application/json"}
    assert server.request("POST", "/api/create", body, headers)[0] in (200, 400, 413)
    asked = json.dumps({"model": "doubled", "prompt": "x" * 60_000, "stream": False, "options": {"num_predict": 1}})
    for _ in range(4):
        assert server.request("POST", "/api/generate", asked.encode(), headers)[0] in (400, 404, 413)
    server.request("DELETE", "/api/delete", b'{"model":"doubled"}', headers)


ATTACKS = [
    Attack("grammar: repetitions of repetitions", nested_repetitions),
    Attack("grammar: groups in groups", nested_groups),
    Attack("grammar: schemas in schemas", nested_schemas),
    Attack("grammar: ambiguous", ambiguous_grammars),
    Attack("template: doubling", doubling_templates),
]
