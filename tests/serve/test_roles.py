"""Every route of the running server, asked by every role, and for the things of another key."""

import json
import threading

import pytest

from program import Program, wait_until
from test_access import ask_batches, bearer, chat, make_key, message

ROLES = ["use", "manage", "administer"]
# Which routes ask for more than the lowest role, told once more: one whose rule says less by mistake fails.
MANAGES = {
    ("POST", "/api/pull"),
    ("POST", "/api/push"),
    ("HEAD", "/api/blobs/{digest}"),
    ("POST", "/api/blobs/{digest}"),
    ("POST", "/models/load"),
    ("POST", "/models/unload"),
    ("POST", "/v1/models/load"),
    ("POST", "/v1/models/unload"),
}
ADMINISTERS = {("GET", "/v1/routes")}
# What a request to a route of things needs so that it reaches the thing of another key.
FOREIGN = {
    "/v1/responses/{id}": "response",
    "/v1/responses/{id}/cancel": "response",
    "/v1/responses/{id}/input_items": "response",
    "/v1/messages/batches/{id}": "batch",
    "/v1/messages/batches/{id}/cancel": "batch",
    "/v1/messages/batches/{id}/results": "batch",
    "/v1/requests/{id}/cancel": "request",
    "/v1/requests/{id...}": "request",
    "/api/delete": "made",
}
# Routes whose things are the asking key's own by what they do: they list, make, or go on from.
OWN = {"/v1/responses", "/v1/messages/batches", "/v1/status", "/slots", "/api/create", "/api/copy"}


@pytest.fixture(scope="module")
def walked(server, tmp_path_factory):
    """A server with a key of each role, and one more whose things are there to be found."""
    folder = tmp_path_factory.mktemp("roles")
    file = folder / "keys.db"
    keys = {role: make_key(file, role, "--role", role) for role in ROLES}
    keys["owner"] = make_key(file, "owner")
    with Program("--context", 2048, "--keys", file, "--batches", folder / "batches.db",
                 "--ollama-folder", folder / "ollama") as running:
        running.keys, running.keys_file = keys, file
        yield running


def ask(server, role, method, path, body=None, **headers):
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    status, _, answer = server.request(method, path, sent, bearer(server.keys[role]) | headers)
    return status, answer


def role_for(route):
    pair = (route["method"], route["path"])
    return "administer" if pair in ADMINISTERS else "manage" if pair in MANAGES else "use"


def table(server):
    status, answer = ask(server, "administer", "GET", "/v1/routes")
    assert status == 200
    return json.loads(answer)["data"]


def test_every_route_asks_for_its_role(walked):
    routes = table(walked)
    assert len(routes) > 50 and {(route["method"], route["path"]) for route in routes} >= MANAGES | ADMINISTERS
    for route in routes:
        assert route["role"] == role_for(route), route
        path = route["path"].replace("{id}", "x").replace("{id...}", "x").replace("{digest}", "x")
        for role in ROLES:
            body = b"{" if route["method"] in ("POST", "DELETE") else None  # wrong: nothing is done by those let in
            status, answer = ask(walked, role, route["method"], path, body)
            refused = ROLES.index(role) < ROLES.index(role_for(route))
            assert (status == 403) == (refused and path != "/health"), (role, route, status, answer)


def test_the_things_of_keys_are_known_as_such(walked):
    """Each route of FOREIGN and OWN says that it is of things that are a key's own, and no other does."""
    told = {route["path"] for route in table(walked) if route["object"] != "server"}
    assert told == FOREIGN.keys() | OWN


def test_what_only_tells_is_asked_by_get(walked):
    """A page can make a browser send a GET: none loads, keeps or removes a thing."""
    for route in table(walked):
        if route["method"] in ("GET", "HEAD"):
            harmless = route["action"] in ("look", "administer") or route["object"] == "private"
            assert harmless or route["path"].startswith("/api/blobs/"), route
        elif route["action"] == "look":
            assert route["path"] == "/api/show", route


@pytest.fixture(scope="module")
def things(walked):
    """The ids of a response, a batch, a running request and a made model of the owner's."""
    question = {"model": "default", "input": "Remember the word heron.", "max_output_tokens": 4}
    response = json.loads(ask(walked, "owner", "POST", "/v1/responses", question)[1])["id"]
    batch = ask_batches(walked, walked.keys["owner"], "POST", requests=[message()])["id"]
    name = json.loads(ask(walked, "owner", "GET", "/v1/models")[1])["data"][0]["id"]
    made = {"model": "heron", "from": name, "system": "You are a heron.", "stream": False}
    assert ask(walked, "owner", "POST", "/api/create", made)[0] == 200
    ended = threading.Event()

    def ask_on():
        while not ended.is_set():
            ask(walked, "owner", "POST", "/v1/chat/completions", chat(max_tokens=1900, ignore_eos=True),
                **{"x-request-id": "of-the-owner"})

    running = threading.Thread(target=ask_on)
    running.start()
    wait_until(lambda: b"of-the-owner" in ask(walked, "owner", "GET", "/v1/status")[1], 20, "it runs")
    yield {"response": response, "batch": batch, "made": "heron", "request": "of-the-owner", "base": name}
    ended.set()
    ask(walked, "administer", "POST", "/v1/requests/of-the-owner/cancel", b"")
    running.join(60)


def test_the_things_of_another_key_are_as_good_as_none(walked, things):
    asked = set()
    for route in table(walked):
        if route["object"] == "server":
            continue
        if route["path"] in OWN:
            continue
        kind = FOREIGN[route["path"]]  # a new route of things says here how they are named
        asked.add(kind)
        path = route["path"].replace("{id}", things[kind]).replace("{id...}", things[kind])
        none = path.replace(things[kind], "none-such")
        for role in ROLES:
            if route["object"] == "supervised" and role == "administer":
                continue
            body = {"model": things[kind]} if kind == "made" else b"" if route["method"] == "POST" else None
            named = {"x-request-id": "the-same"}  # Anthropic's errors tell it
            status, answer = ask(walked, role, route["method"], path, body, **named)
            absent = {"model": "none-such"} if kind == "made" else body
            other, words = ask(walked, role, route["method"], none, absent, **named)
            assert (status, answer) == (other, words.replace(b"none-such", things[kind].encode())), (role, route)
            assert status == 404, (role, route, answer)
    assert asked == {"response", "batch", "request", "made"}
    assert ask(walked, "owner", "GET", f"/v1/responses/{things['response']}")[0] == 200, "still there"


def test_lists_tell_of_ones_own(walked, things):
    def slots(role):
        return sum(slot["is_processing"] for slot in json.loads(ask(walked, role, "GET", "/slots")[1]))

    wait_until(lambda: slots("owner") == 1 and slots("administer") == 1, 20, "it is being answered")
    assert [slots(role) for role in ("use", "manage")] == [0, 0]
    for role in ROLES:
        def told():
            return b"of-the-owner" in ask(walked, role, "GET", "/v1/status")[1]

        if role == "administer":
            wait_until(told, 20, "administrators see it")
        else:
            assert not any(told() for _ in range(5)), role
        assert things["batch"] not in json.dumps(ask_batches(walked, walked.keys[role])), role


def test_made_models_are_their_keys_own(walked, things):
    def names(role):
        return [model["name"] for model in json.loads(ask(walked, role, "GET", "/api/tags")[1])["models"]]

    show = {"model": "heron"}
    assert "heron:latest" in names("owner") and "heron:latest" not in names("use")
    assert ask(walked, "use", "POST", "/api/show", show)[0] == 404
    mine = {"model": "heron", "from": things["base"], "system": "You are a stork.", "stream": False}
    assert ask(walked, "use", "POST", "/api/create", mine)[0] == 200, "the name is not taken for this key"
    assert b"You are a stork." in ask(walked, "use", "POST", "/api/show", show)[1]
    assert b"You are a heron." in ask(walked, "owner", "POST", "/api/show", show)[1]
    assert ask(walked, "use", "DELETE", "/api/delete", show)[0] == 200
    assert b"You are a heron." in ask(walked, "owner", "POST", "/api/show", show)[1]
    everybodys = mine | {"model": "crane", "system": "You are a crane."}
    assert ask(walked, "manage", "POST", "/api/create", everybodys)[0] == 200
    assert b"You are a crane." in ask(walked, "use", "POST", "/api/show", {"model": "crane"})[1]
    assert ask(walked, "use", "DELETE", "/api/delete", {"model": "crane"})[0] == 403
    assert ask(walked, "manage", "DELETE", "/api/delete", {"model": "crane"})[0] == 200


def test_made_models_take_no_more_than_a_key_may_store(walked, things):
    walked.keys["small"] = make_key(walked.keys_file, "small", "--storage", 30_000)

    def create(name, characters, role="small"):
        body = {"model": name, "from": things["base"], "system": "x" * characters, "stream": False}
        return ask(walked, role, "POST", "/api/create", body)

    assert create("one", 15_000)[0] == 200
    status, answer = create("two", 15_000)
    assert status == 413 and b"30 kB at most" in answer, answer
    copy = {"source": "one", "destination": "three"}
    assert ask(walked, "small", "POST", "/api/copy", copy)[0] == 413
    assert create("one", 25_000)[0] == 200, "it makes room for itself"
    assert ask(walked, "small", "POST", "/api/show", {"model": "two"})[0] == 404
    assert ask(walked, "small", "DELETE", "/api/delete", {"model": "one"})[0] == 200
    assert create("two", 15_000)[0] == 200
    assert create("two", 35_000, role="use")[0] == 200, "the bound is each key's own"


def test_a_key_that_uses_neither_loads_nor_unloads(walked, things):
    empty = {"model": things["base"], "prompt": "", "keep_alive": 0, "stream": False}
    assert ask(walked, "use", "POST", "/api/generate", empty)[0] == 403
    brief = empty | {"prompt": "Hi.", "options": {"num_predict": 2}}
    assert ask(walked, "use", "POST", "/api/generate", brief)[0] == 200
    models = json.loads(ask(walked, "use", "GET", "/v1/status")[1])["models"]
    assert models[0]["status"]["value"] == "loaded", "its keep_alive changes nothing"


def test_another_keys_prompt_is_not_told_by_the_cache(walked, things):
    text = "The oracle of the cache must not say what others have asked before. " * 4
    assert ask(walked, "owner", "POST", "/v1/chat/completions", chat(text))[0] == 200

    def miss(role, name):
        body = chat(text, max_tokens=1500, ignore_eos=True)
        running = threading.Thread(target=ask, args=(walked, role, "POST", "/v1/chat/completions", body),
                                   kwargs={"x-request-id": name})
        running.start()

        def prefix():
            requests = json.loads(ask(walked, role, "GET", "/v1/status")[1])["requests"]
            own = [entry for entry in requests if entry["id"] == name and entry["sequences"]]
            return own and own[0]["sequences"][0]["prefix"]

        try:
            told = wait_until(prefix, 20, "it was looked up")
        finally:
            ask(walked, role, "POST", f"/v1/requests/{name}/cancel", b"")
            running.join(60)
        return told

    # Keys that have asked nothing yet: the template's own beginning is known to the others by now.
    walked.keys |= {"fresh": make_key(walked.keys_file, "fresh"),
                    "watcher": make_key(walked.keys_file, "watcher", "--role", "administer")}
    told = miss("fresh", "curious")
    assert (told["miss"], told["cached_tokens"], told["first_difference"]) == ("new", 0, 0)
    assert miss("watcher", "supervising")["miss"] == "other_salt", "an administrator may know"


def test_a_key_has_the_models_and_the_priority_that_it_was_given(walked, things):
    walked.keys["other"] = make_key(walked.keys_file, "other", "--models", "some-other-model")
    limits = ("--models", f"{things['base']},x", "--priority-max", "high")
    walked.keys["same"] = make_key(walked.keys_file, "same", *limits)
    question = json.loads(chat())
    for path, body in [("/v1/chat/completions", question), ("/v1/messages", message()),
                       ("/v1/responses", {"model": "default", "input": "Hi.", "max_output_tokens": 4}),
                       ("/api/chat", {"model": things["base"], "messages": question["messages"], "stream": False}),
                       ("/completion", {"prompt": "Hi.", "n_predict": 2}), ("/tokenize", {"content": "Hi."}),
                       ("/api/show", {"model": things["base"]})]:
        assert ask(walked, "same", "POST", path, body)[0] == 200, path
        status, answer = ask(walked, "other", "POST", path, body)
        assert status == 404, (path, answer)
        if path != "/api/show":
            assert things["base"].encode() not in answer or path == "/api/chat", "other models are not named"
    for path in ("/v1/models", "/api/tags", "/api/ps", "/v1/status", "/metrics"):
        assert things["base"].encode() in ask(walked, "same", "GET", path)[1], path
        assert things["base"].encode() not in ask(walked, "other", "GET", path)[1], path
    for path in ("/props", "/slots", f"/v1/models/{things['base']}"):
        assert (ask(walked, "same", "GET", path)[0], ask(walked, "other", "GET", path)[0]) == (200, 404), path
    urgent = question | {"priority": -1}
    assert ask(walked, "same", "POST", "/v1/chat/completions", urgent)[0] == 200
    status, answer = ask(walked, "use", "POST", "/v1/chat/completions", urgent)
    assert (status, json.loads(answer)["error"]["param"]) == (403, "priority")


def test_props_loads_no_model(server, model_file):
    with Program("--models-on-demand", "--keep-alive", "1s", "--context", 512, model=model_file) as running:
        def state():
            return json.loads(running.get("/v1/status")[2])["models"][0]["status"]["value"]

        name = json.loads(running.get("/v1/models")[2])["data"][0]["id"]
        running.request("POST", "/models/unload", json.dumps({"model": name}).encode())
        wait_until(lambda: state() == "unloaded", 20, "it is unloaded")
        status, _, answer = running.get(f"/props?model={name}")
        assert status == 503 and b"/models/load" in answer
        assert state() == "unloaded", "a GET has loaded nothing"
