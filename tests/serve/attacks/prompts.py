"""Prompts that are far too long for the model, of every kind of text and to every route, four at a time; and a model
file whose template grows without end."""

import concurrent.futures
import json

from . import Attack

MIB = 1 << 20
LARGE = 27 * MIB
CHAT = "/v1/chat/completions"
# Texts whose tokens an estimate may miss: white space, characters of three bytes, letters with accents, line ends.
FILLINGS = {"spaces": " ", "Chinese": "\u6f22\u5b57", "accents": "e\u0301", "line ends": "\n", "words": "many words "}
# Stands for the long text while a body is written: to write that as JSON would hold up the threads that watch.
PLACE = "@place@"
DOUBLING = "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}"


def encoded(body, filling, bytes_=LARGE):
    """Returns the JSON of a body whose places hold so many bytes of a filling."""
    piece = json.dumps(filling, ensure_ascii=False)[1:-1].encode()
    text = piece * (bytes_ // len(piece))
    return json.dumps({"model": "default"} | body).encode().replace(PLACE.encode(), text)


def post(server, path, sent):
    """Returns (status, answer)."""
    status, _, answer = server.request("POST", path, sent, {"content-type": "application/json"}, timeout_s=120)
    return status, answer


def four_refused(server, path, body, filling):
    sent = encoded(body, filling)
    with concurrent.futures.ThreadPoolExecutor(4) as clients:
        for status, answer in clients.map(lambda _: post(server, path, sent), range(4)):
            # 503: there is no room for so many at once.
            assert status in (400, 413, 503), (path, status, answer[:200])
            assert b"error" in answer


def chat(role, text=PLACE):
    said = {"role": role, "content": text} | ({"tool_call_id": "c"} if role == "tool" else {})
    return {"messages": [{"role": "user", "content": "Hi"}, said], "max_tokens": 1}


def chats_of(filling):
    def attack(server):
        four_refused(server, CHAT, chat("user"), filling)

    return attack


def other_roles(server):
    for role, name in (("system", "words"), ("assistant", "spaces"), ("tool", "Chinese")):
        four_refused(server, CHAT, chat(role), FILLINGS[name])
    described = {"type": "function", "function": {"name": "f", "description": PLACE, "parameters": {}}}
    four_refused(server, CHAT, chat("user", "Hi") | {"tools": [described]}, "a tool ")


def other_routes(server):
    message = [{"role": "user", "content": PLACE}]
    for path, body in (
        ("/v1/completions", {"prompt": PLACE, "max_tokens": 1}),
        ("/completion", {"prompt": [1, PLACE], "n_predict": 1}),
        ("/infill", {"input_prefix": PLACE, "input_suffix": "b", "n_predict": 1}),
        ("/tokenize", {"content": PLACE}),
        ("/v1/tokenize", {"prompt": PLACE}),
        ("/v1/tokenize", {"messages": message}),
        ("/apply-template", {"messages": message}),
        ("/v1/messages/count_tokens", {"messages": message}),
        ("/v1/responses/input_tokens", {"input": PLACE}),
        ("/api/generate", {"prompt": PLACE, "stream": False}),
    ):
        # A model without tokens for filling in says that first.
        expected = (400, 413, 501, 503) if path == "/infill" else (400, 413, 503)
        status, answer = post(server, path, encoded(body, " "))
        assert status in expected, (path, status, answer[:200])


def truncated_turns(server):
    """Thousands of turns, of which the server is to find the last that fit."""
    turns = [{"role": role, "content": PLACE} for _ in range(2_000) for role in ("user", "assistant")]
    asked = {"input": [*turns, {"role": "user", "content": "Hi"}], "truncation": "auto", "max_output_tokens": 1}
    asked["store"] = False  # else its texts stay
    status, answer = post(server, "/v1/responses", encoded(asked, "word ", 6_000))
    assert status in (200, 400), (status, answer[:200])


def doubling_template(server):
    """The model's own template doubles a string sixty times."""
    for _ in range(4):
        status, answer = post(server, CHAT, encoded(chat("user", "Hi"), "-"))
        assert status in (400, 413, 501), (status, answer[:200])
        assert json.loads(answer)["error"]["message"]
    status, answer = post(server, "/v1/completions", encoded({"prompt": "Hi", "max_tokens": 1}, "-"))
    assert status == 200, "what needs no template is answered"


ATTACKS = [Attack(f"prompts: {name}", chats_of(filling)) for name, filling in FILLINGS.items()] + [
    Attack("prompts: of other roles", other_roles),
    Attack("prompts: to other routes", other_routes),
    Attack("prompts: turns to be left out", truncated_turns),
    Attack("template: a model's own that doubles", doubling_template, template=DOUBLING),
]
