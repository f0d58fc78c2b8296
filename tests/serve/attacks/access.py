"""Clients without a key, and with wrong ones, where keys are asked for or not."""

import concurrent.futures
import json
import secrets

from attacks import Attack


def guesses(server):
    """Thousands of wrong keys, and keys of every length, by every route and header: each is refused."""
    body = json.dumps({"model": "default", "prompt": "Hi", "max_tokens": 1}).encode()
    right = server.headers["Authorization"].removeprefix("Bearer ")
    near = [right[:-1], right + "0", right.upper(), right.removeprefix("pk-"), "pk-" + right, right[:-1] + "\t"]
    keys = ["pk-" + secrets.token_hex(32) for _ in range(3000)] + ["x" * size for size in (1, 1_000, 7_000)] + near

    def guess(numbered):
        number, key = numbered
        name = ("authorization", "x-api-key", "api-key")[number % 3]
        method, path = (("POST", "/v1/completions"), ("GET", "/v1/models"), ("GET", "/metrics"))[number // 3 % 3]
        client = server.http_connection()
        client.request(method, path, body if method == "POST" else None,
                       {name: "Bearer " + key if name == "authorization" else key})
        status = client.getresponse().status
        client.close()
        return status

    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        statuses = set(clients.map(guess, enumerate(keys)))
    assert statuses == {401}, statuses
    assert server.get("/v1/models")[0] == 200, "the right one is let in as before"


def pages_of_other_sites(server):
    """An image tag, a form and a script of another site load, unload and start nothing."""
    for method, path in (
        ("GET", "/props?model=default"),
        ("POST", "/v1/models/unload"),
        ("POST", "/v1/completions"),
        ("DELETE", "/api/delete"),
    ):
        for headers in (
            {"sec-fetch-site": "cross-site"},
            {"origin": "https://evil.example"},
            {"host": "evil.example:8000"},
            {"sec-fetch-site": "same-site", "referer": "http://evil.localhost"},
        ):
            status, _, answer = server.request(method, path, b"{}" if method != "GET" else None, headers)
            assert status == 403, (method, path, headers, status, answer[:200])


ATTACKS = [
    Attack("wrong keys", guesses, keyed=True),
    Attack("pages of other sites", pages_of_other_sites),
]
