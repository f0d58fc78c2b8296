"""What clients have the server keep."""

import json

from attacks import Attack
from attacks.http import resident_bytes
from program import wait_until

MIB = 1 << 20
HEADERS = {"content-type": "application/json"}


def post(server, path, body):
    status, _, answer = server.request("POST", path, json.dumps(body).encode(), HEADERS)
    return status, answer


def large_made_models(server):
    for body in (
        {"system": "x" * (5 * MIB)},
        {"template": "x" * (5 * MIB)},
        {"modelfile": "FROM default\nSYSTEM " + "x" * (5 * MIB)},
        {"messages": [{"role": "user", "content": "x" * (5 * MIB)}]},
    ):
        status, answer = post(server, "/api/create", {"model": "large", "from": "default", "stream": False} | body)
        assert status in (400, 413), (status, answer[:200])
    assert post(server, "/api/show", {"model": "large"})[0] == 404


def many_made_models(server):
    """Made models as large as they may be, until there is no more room for them; and lists of them all."""
    before = resident_bytes(server)
    sizes = [4_000_000] * 16 + [100_000] * 40
    names = [f"large-{i}" for i in range(len(sizes))]
    taken = 0
    try:
        for name, size in zip(names, sizes):
            body = {"model": name, "from": "default", "system": "x" * size, "stream": False}
            status, answer = post(server, "/api/create", body)
            assert status in (200, 413), (status, answer[:200])
            taken += size if status == 200 else 0
        assert 60_000_000 < taken < 64 * MIB, taken
        most = 0
        for _ in range(20):
            status, _, answer = server.get("/api/tags")
            assert status == 200 and answer.count(b'"large-') > 16
            most = max(most, resident_bytes(server))
        assert most < before + 50 * MIB, f"{(most - before) // MIB} MiB more while they were listed"
    finally:
        for name in names:
            server.request("DELETE", "/api/delete", json.dumps({"model": name}).encode(), HEADERS)


def many_responses(server):
    """Responses with an input of half a MiB, each going on from the one before."""
    previous = {}
    for i in range(40):
        body = {"model": "default", "input": f"{i}", "instructions": "x" * (MIB // 2), "max_output_tokens": 1}
        status, answer = post(server, "/v1/responses", body | previous)
        # Half a MiB of instructions is more than the context holds.
        assert status == 400, (status, answer[:200])
    for i in range(100):
        body = {"model": "default", "input": "Hi", "max_output_tokens": 1, "metadata": {"a": "x" * 500}}
        status, answer = post(server, "/v1/responses", body | previous)
        assert status == 200, (status, answer[:200])
        previous = {"previous_response_id": json.loads(answer)["id"]}


def batches_that_never_fit(server):
    """Batches for prompts beyond any context, and one that is answered all the same."""
    params = {"model": "default", "max_tokens": 1, "messages": [{"role": "user", "content": "word " * 5_000}]}
    for _ in range(5):
        requests = [{"custom_id": str(i), "params": params} for i in range(50)]
        status, answer = post(server, "/v1/messages/batches", {"requests": requests})
        assert status in (200, 413), (status, answer[:200])
    short = params | {"messages": [{"role": "user", "content": "Hi"}]}
    status, answer = post(server, "/v1/messages/batches", {"requests": [{"custom_id": "a", "params": short}]})
    assert status == 200, (status, answer[:200])
    batch = json.loads(answer)["id"]
    def ended():
        return json.loads(server.get(f"/v1/messages/batches/{batch}")[2])["processing_status"] == "ended"

    wait_until(ended, 60, "the batch that fits ends")


ATTACKS = [
    Attack("create: large models", large_made_models),
    Attack("create: many models", many_made_models),
    Attack("responses: many and long", many_responses),
    Attack("batches: what never fits", batches_that_never_fit),
]
