"""Clients without a key, and with wrong ones, where keys are asked for or not."""

import concurrent.futures
import json
import secrets

from attacks import Attack


def guesses(server):
    """Thousands of wrong keys, and keys of every length: each is refused, or means nothing here."""

    def guess(key):
        headers = {"authorization": "Bearer " + key, "x-api-key": key, "content-type": "application/json"}
        body = json.dumps({"model": "default", "prompt": "Hi", "max_tokens": 1}).encode()
        return server.request("POST", "/v1/completions", body, headers)[0]

    keys = ["pk-" + secrets.token_hex(32) for _ in range(300)] + ["x" * size for size in (1, 1_000, 7_000)]
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        statuses = set(clients.map(guess, keys))
    # Without keys everybody is let in, and what is sent as one is not looked at.
    assert statuses <= {200, 429, 431, 503}, statuses


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
    Attack("wrong keys", guesses),
    Attack("pages of other sites", pages_of_other_sites),
]
