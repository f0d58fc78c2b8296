"""Keys, limits, TLS and the audit log of a running server."""

import json
import os
import re
import shutil
import sqlite3
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import openai
import pytest

from program import Program, make_certificate, program_path, wait_until

OPENAPI = json.loads((Path(__file__).resolve().parents[2] / "docs" / "openapi.json").read_text())
CHAT = "/v1/chat/completions"


def key_command(file, *words):
    done = subprocess.run([program_path(), "key", *map(str, words), "--keys", file], capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_key(file, name, *limits):
    return json.loads(key_command(file, "create", name, "--json", *limits))


def listed(file):
    return {key["name"]: key for key in json.loads(key_command(file, "list", "--json"))}


def bearer(key):
    return {"Authorization": f"Bearer {key['key']}", "Content-Type": "application/json"}


def chat(content="Hi.", **fields):
    body = {"model": "default", "messages": [{"role": "user", "content": content}], "max_tokens": 4, "temperature": 0}
    return json.dumps(body | fields).encode()


@pytest.fixture(scope="module")
def keyed(server, tmp_path_factory):
    """A server with a key in its file."""
    folder = tmp_path_factory.mktemp("access")
    file = folder / "keys.db"
    first = make_key(file, "first")
    with Program("--context", 2048, "--keys", file, "--audit-log", folder / "audit.jsonl") as running:
        running.keys_file, running.first_key, running.audit_file = file, first, folder / "audit.jsonl"
        yield running


def test_no_route_but_health_answers_without_a_key(keyed):
    asked = 0
    for path, methods in OPENAPI["paths"].items():
        concrete = re.sub(r"\{[^}]*\}", "x", path)
        for method in methods:
            if method not in ("get", "post", "put", "delete", "head"):
                continue
            asked += 1
            body = b"{}" if method == "post" else None
            status = keyed.request(method.upper(), concrete, body)[0]
            assert status == (200 if path == "/health" else 401), (method, path)
    assert asked > 15
    assert keyed.get("/nowhere")[0] == 401
    status, headers, body = keyed.request("POST", CHAT, chat())
    assert headers["WWW-Authenticate"] == "Bearer"
    error = json.loads(body)["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")


def test_a_key_is_taken_in_any_of_three_headers(keyed):
    for name, value in [("Authorization", "Bearer "), ("x-api-key", ""), ("api-key", "")]:
        headers = {name: value + keyed.first_key["key"], "Content-Type": "application/json"}
        assert keyed.request("POST", CHAT, chat(), headers)[0] == 200, name
        headers[name] = headers[name][:-1]
        assert keyed.request("POST", CHAT, chat(), headers)[0] == 401, name
    with openai.OpenAI(base_url=keyed.url + "/v1", api_key=keyed.first_key["key"], max_retries=0) as client:
        assert client.models.list().data
    with openai.OpenAI(base_url=keyed.url + "/v1", api_key="pk-wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            client.models.list()


def test_keys_come_and_go_while_the_server_runs(keyed):
    second = make_key(keyed.keys_file, "second")
    assert keyed.request("GET", "/v1/models", None, bearer(second))[0] == 200
    key_command(keyed.keys_file, "revoke", "second")
    assert keyed.request("GET", "/v1/models", None, bearer(second))[0] == 401
    assert listed(keyed.keys_file)["second"]["revoked"] is not None
    assert second["key"].removeprefix("pk-").encode() not in Path(keyed.keys_file).read_bytes()


def test_limits_by_the_minute_are_told_and_kept(keyed):
    key = make_key(keyed.keys_file, "slow", "--requests-per-minute", 3, "--tokens-per-minute", 100000)
    for left in (2, 1, 0):
        status, headers, _ = keyed.request("POST", CHAT, chat(), bearer(key))
        assert status == 200
        assert headers["x-ratelimit-limit-requests"] == "3"
        assert headers["x-ratelimit-remaining-requests"] == str(left)
        assert int(headers["x-ratelimit-remaining-tokens"]) < 100000
    status, headers, body = keyed.request("POST", CHAT, chat(), bearer(key))
    assert status == 429 and 1 <= int(headers["Retry-After"]) <= 61
    assert json.loads(body)["error"]["type"] == "rate_limit_error"
    status, headers, _ = keyed.request("POST", CHAT, chat(), bearer(keyed.first_key))
    assert status == 200 and not any(name.startswith("x-ratelimit") for name in headers)


def test_a_daily_quota_holds_under_64_clients(keyed):
    quota = 4000
    key = make_key(keyed.keys_file, "rationed", "--tokens-per-day", quota)
    used, statuses, waits, lock = [], [], [], threading.Lock()

    def client(number):
        nonlocal waits
        while True:
            status, headers, body = keyed.request("POST", CHAT, chat(f"Word {number}.", max_tokens=8, ignore_eos=True),
                                                  bearer(key), timeout_s=150)
            with lock:
                statuses.append(status)
                if status != 200:
                    waits += [int(value) for name, value in headers.items() if name.lower() == "retry-after"]
                    return
                used.append(json.loads(body)["usage"]["total_tokens"])

    clients = [threading.Thread(target=client, args=(number,)) for number in range(64)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(170)
    assert set(statuses) == {200, 429}, statuses
    assert quota - 64 < sum(used) <= quota, sum(used)
    assert len(waits) == 64 and all(1 <= wait <= 86400 for wait in waits), waits
    wait_until(lambda: listed(keyed.keys_file)["rationed"]["tokens_today"] == sum(used), 10, "the file knows")


def test_a_limit_of_requests_at_the_same_time(keyed):
    key = make_key(keyed.keys_file, "single", "--concurrent", 1)
    body = chat(max_tokens=400, ignore_eos=True)

    def answer():  # the questions below may be in its way
        while keyed.request("POST", CHAT, body, bearer(key))[0] == 429:
            time.sleep(0.02)

    running = threading.Thread(target=answer)
    running.start()
    wait_until(lambda: keyed.request("GET", "/v1/models", None, bearer(key))[0] == 429, 20, "one is enough")
    running.join(60)
    for _ in range(5):
        assert keyed.request("GET", "/v1/models", None, bearer(key))[0] == 200


@pytest.mark.parametrize("path, body", [
    (CHAT, {"messages": [{"role": "user", "content": "TEXT"}]}),
    ("/v1/completions", {"prompt": "TEXT"}),
    ("/v1/responses", {"input": "TEXT", "store": False}),
    ("/v1/messages", {"messages": [{"role": "user", "content": "TEXT"}]}),
])
def test_the_cache_of_one_key_is_not_seen_by_another(keyed, path, body):
    if path not in OPENAPI["paths"]:
        pytest.skip(f"{path} is not served")
    names = [f"{owner} of {path}" for owner in ("one", "other")]
    one, other = (make_key(keyed.keys_file, name) for name in names)
    text = f"Of {path}: " + "the river runs down to the sea and the sea is never full. " * 12
    body = json.loads(json.dumps(body).replace("TEXT", text)) | {"model": "default"}
    body["max_output_tokens" if path == "/v1/responses" else "max_tokens"] = 4

    def cached(key):
        status, _, answer = keyed.request("POST", path, json.dumps(body).encode(), bearer(key))
        assert status == 200, answer
        usage = json.loads(answer)["usage"]
        details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
        return details.get("cached_tokens", usage.get("cache_read_input_tokens"))

    assert cached(one) == 0
    assert cached(one) > 100
    assert cached(other) == 0
    used = listed(keyed.keys_file)
    wait_until(lambda: all(listed(keyed.keys_file)[name]["tokens_today"] > 100 for name in names), 10, "all is counted")
    assert used[names[0]]["id"] != used[names[1]]["id"]


def test_requests_of_others_are_not_told_and_not_ended(keyed):
    one, other = make_key(keyed.keys_file, "writer"), make_key(keyed.keys_file, "stranger")
    headers = bearer(one) | {"x-request-id": "mine-1"}
    body = chat(max_tokens=900, ignore_eos=True)
    running = threading.Thread(target=keyed.request, args=("POST", CHAT, body, headers))
    running.start()

    def ids(key):
        status = json.loads(keyed.request("GET", "/v1/status", None, bearer(key))[2])
        return [entry["id"] for entry in status["requests"]]

    wait_until(lambda: "mine-1" in ids(one), 20, "it is listed")
    assert "mine-1" not in ids(other)
    assert keyed.request("POST", "/v1/requests/mine-1/cancel", b"", bearer(other))[0] == 404
    assert keyed.request("POST", "/v1/requests/mine-1/cancel", b"", bearer(one))[0] == 200
    running.join(60)


def test_a_kept_response_is_its_keys_alone(keyed):
    one, other = make_key(keyed.keys_file, "keeper"), make_key(keyed.keys_file, "reader")

    def ask(key, method, path, body=None):
        status, _, answer = keyed.request(method, path, body and json.dumps(body).encode(), bearer(key))
        return status, json.loads(answer)

    question = {"model": "default", "input": "Remember the word heron.", "max_output_tokens": 4}
    kept = ask(one, "POST", "/v1/responses", question)[1]["id"]
    item = ask(one, "GET", f"/v1/responses/{kept}/input_items")[1]["data"][0]["id"]
    long = question | {"background": True, "max_output_tokens": 1200, "ignore_eos": True}
    running = ask(one, "POST", "/v1/responses", long)[1]["id"]
    onward = question | {"previous_response_id": kept}
    referring = question | {"input": [{"type": "item_reference", "id": item}]}
    for response in (kept, running):
        path = f"/v1/responses/{response}"
        for method, end in [("GET", ""), ("GET", "?stream=true"), ("GET", "/input_items"), ("POST", "/cancel"),
                            ("DELETE", "")]:
            status, answer = ask(other, method, path + end)
            assert (status, answer["error"]["type"]) == (404, "invalid_request_error"), (method, end)
            assert answer["error"]["message"] == f"Response with id '{response}' not found."
    for body, param in [(onward, "previous_response_id"), (referring, "input")]:
        for path in ("/v1/responses", "/v1/responses/input_tokens"):
            status, answer = ask(other, "POST", path, body)
            assert (status, answer["error"]["param"]) == (404, param), path
    assert ask(one, "POST", f"/v1/responses/{running}/cancel")[1]["status"] == "cancelled"
    for body in (onward, referring):
        assert ask(one, "POST", "/v1/responses", body)[0] == 200
    assert ask(one, "GET", f"/v1/responses/{kept}")[1]["id"] == kept
    assert ask(one, "DELETE", f"/v1/responses/{kept}")[1]["deleted"] is True


def message(content="Hi.", **fields):
    return {"model": "default", "max_tokens": 4, "messages": [{"role": "user", "content": content}]} | fields


def ask_batches(server, key, method="GET", path="", requests=None):
    body = None
    if requests is not None:
        body = json.dumps({"requests": [{"custom_id": f"n{i}", "params": params} for i, params in enumerate(requests)]})
    status, _, answer = server.request(method, "/v1/messages/batches" + path, body and body.encode(), bearer(key))
    assert status == 200, answer
    return json.loads(answer)


def batch_rows(file, batch):
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        return [state for state, in database.execute("SELECT state FROM requests WHERE batch = ?", (batch,))]


def test_an_exhausted_quota_is_no_error_of_the_request(tmp_path, server):
    keys, batches = tmp_path / "keys.db", tmp_path / "batches.db"
    spent = make_key(keys, "spent", "--tokens-per-day", 2)
    free, left = make_key(keys, "free"), make_key(keys, "left", "--tokens-per-day", 100_000)
    flags = ("--context", 1024, "--keys", keys, "--batches", batches)
    with Program(*flags) as running:
        status, headers, body = running.request("POST", "/v1/messages", json.dumps(message()).encode(), bearer(spent))
        assert (status, json.loads(body)["error"]["type"]) == (429, "rate_limit_error")
        assert 1 <= int(headers["retry-after"]) <= 86400
        waiting = ask_batches(running, spent, "POST", requests=[message(), message()])["id"]
        others = ask_batches(running, free, "POST", requests=[message()])["id"]
        done = wait_until(lambda: ask_batches(running, free, path=f"/{others}")["ended_at"], 60, "others are answered")
        assert done and ask_batches(running, spent, path=f"/{waiting}")["request_counts"]["errored"] == 0
        assert batch_rows(batches, waiting) == [-2, -2], "they wait"
        key_command(keys, "revoke", "spent")
        wait_until(lambda: ask_batches(running, free) and batch_rows(batches, waiting) == [2, 2], 20, "they are over")
        later = ask_batches(running, left, "POST", requests=[message("Tell a tale.", max_tokens=200)] * 6)["id"]
    used = listed(keys)["left"]["tokens_today"]
    with Program(*flags) as running:
        wait_until(lambda: ask_batches(running, left, path=f"/{later}")["ended_at"], 60, "the rest is answered")
    assert listed(keys)["left"]["tokens_today"] > used, "what a restart has left counts for its key"


def test_the_audit_log_tells_who_and_what_but_no_text(keyed):
    keyed.request("POST", CHAT, chat("A secret thing."), bearer(keyed.first_key) | {"x-request-id": "audited"})

    def lines():
        return [json.loads(line) for line in keyed.audit_file.read_text().splitlines()]

    line = wait_until(lambda: [line for line in lines() if line["request_id"] == "audited"], 10, "it is written")[0]
    assert line["key_id"] == keyed.first_key["id"] and line["path"] == CHAT and line["status"] == 200
    assert line["prompt_tokens"] > 3 and 1 <= line["answer_tokens"] <= 4 and line["peer"] == "127.0.0.1"
    text = keyed.audit_file.read_text()
    assert "secret thing" not in text and keyed.first_key["key"] not in text
    assert os.stat(keyed.audit_file).st_mode & 0o077 == 0


def test_a_server_beyond_this_machine_speaks_https_to_who_has_a_key(server, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate")
    cert, private = make_certificate(tmp_path)
    file = tmp_path / "keys.db"
    key = make_key(file, "far")
    audit = tmp_path / "audit.jsonl"
    flags = ["--keys", file, "--host", "0.0.0.0", "--tls-cert", cert, "--tls-key", private, "--audit-log", audit,
             "--audit-text", "--context", 512]
    context = ssl.create_default_context(cafile=str(cert))
    running = Program(*flags)

    def ask(path, body=None, headers=None):
        request = urllib.request.Request(f"https://127.0.0.1:{running.port}{path}", data=body, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def is_ready():
        assert running.process.poll() is None, running.log_text()
        try:
            return ask("/health")[0] == 200
        except OSError:
            return False

    try:
        wait_until(is_ready, 120, "GET /health is 200")
        assert ask("/v1/models")[0] == 401
        status, body = ask(CHAT, chat("Over TLS.", stream=True), bearer(key))
        assert status == 200 and b"data: [DONE]" in body
        assert f"https://127.0.0.1:{running.port}" in running.log_text()
        # Written once the answer is out, so perhaps after its reader has it.
        wait_until(lambda: "Over TLS." in audit.read_text(), 10, "asked for by --audit-text")
        with pytest.raises(OSError):
            running.get("/health")  # not without TLS
    finally:
        assert running.stop() == 0
