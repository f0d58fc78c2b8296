"""What the server keeps, and what a signal, a sudden end or a full disk leave of it."""

import json
import random
import resource
import signal
import time
from collections import Counter

import pytest

import program
from program import Program, wait_until

JSON = {"Content-Type": "application/json"}
QUESTION = [{"role": "user", "content": "Name a city."}]


def post(running, path, body):
    status, _, answer = running.request("POST", path, json.dumps(body).encode(), JSON)
    return status, json.loads(answer)


def entry(custom_id, **params):
    return {"custom_id": custom_id, "params": {"model": "default", "messages": QUESTION, "max_tokens": 4} | params}


def make_batch(running, requests):
    status, batch = post(running, "/v1/messages/batches", {"requests": requests})
    assert status == 200, batch
    return batch["id"]


def read_batch(running, batch):
    status, _, body = running.get(f"/v1/messages/batches/{batch}")
    assert status == 200, body
    return json.loads(body)


def ended(running, batch):
    found = read_batch(running, batch)
    return found if found["processing_status"] == "ended" else None


def results(running, batch):
    """Returns [(custom_id, result)] in the order of the lines."""
    status, _, body = running.get(f"/v1/messages/batches/{batch}/results")
    assert status == 200, body
    return [(line["custom_id"], line["result"]) for line in map(json.loads, body.decode().splitlines())]


# --- Batches ---


def test_a_model_that_never_fits_ends_its_requests_and_holds_nobody_up(model_file, tmp_path):
    second = tmp_path / "second.gguf"
    second.symlink_to(model_file)
    # Room for one, and that one stays.
    flags = ("--context", 512, "--kv-memory", "24MB", "--max-num-seqs", 8, "--memory", "300MB",
             "--pin", model_file.stem)
    with Program(second, *flags) as running:
        large = make_batch(running, [entry(f"n{i}", model="second") for i in range(6)])
        small = make_batch(running, [entry("a"), entry("b")])
        batch = wait_until(lambda: ended(running, small), 30, "the other batch has ended")
        assert batch["request_counts"]["succeeded"] == 2
        batch = wait_until(lambda: ended(running, large), 30, "the batch has ended")
        assert batch["request_counts"]["errored"] == 6
        assert all("does not fit" in result["error"]["error"]["message"] for _, result in results(running, large))


def test_a_batch_goes_on_after_a_start_without_being_asked_for(model_file, tmp_path):
    count = 40  # some seconds of work, so that a slow client cannot miss all of it
    flags = ("--context", 512, "--batches", tmp_path / "batches.db")
    with Program(*flags) as running:
        batch = make_batch(running, [entry(f"n{i}", max_tokens=200, ignore_eos=True) for i in range(count)])
        wait_until(lambda: running.engine()["generated_tokens"] > 0, 10, "it is worked on")
    with Program(*flags) as running:
        wait_until(lambda: running.engine()["generated_tokens"] > 0, 10, "it is worked on again")
        found = wait_until(lambda: ended(running, batch), 60, "the batch has ended")
        assert found["request_counts"]["succeeded"] == count


@pytest.mark.timeout(300)
def test_a_sudden_end_at_any_moment_loses_and_repeats_nothing(model_file, tmp_path):
    """kill -9, again and again, while a batch and a response in the background are worked on."""
    count, rng = 120, random.Random(7)
    flags = ("--context", 512, "--batches", tmp_path / "batches.db", "--responses", tmp_path / "responses.db")
    batch, responses = None, []
    for round_ in range(8):
        running = Program(*flags)
        running.__enter__()
        if batch is None:
            batch = make_batch(running, [entry(f"n{i}") for i in range(count)])
        responses.append(post(running, "/v1/responses", {"model": "default", "input": "Hi.", "background": True,
                                                         "max_output_tokens": 8})[1]["id"])
        time.sleep(rng.uniform(0, 0.4))
        running.process.kill()
        running.process.wait()
    with Program(*flags) as running:
        found = wait_until(lambda: ended(running, batch), 120, "the batch has ended")
        counts = found["request_counts"]
        assert counts == {"processing": 0, "succeeded": count, "errored": 0, "canceled": 0, "expired": 0}
        ids = Counter(custom_id for custom_id, _ in results(running, batch))
        assert ids == Counter(f"n{i}" for i in range(count))
        for name in responses:
            status, _, body = running.get(f"/v1/responses/{name}")
            assert status == 200 and json.loads(body)["status"] in ("completed", "incomplete", "failed"), body
        wait_until(running.is_idle, 20, "no blocks are left behind")


def test_a_batch_ends_once_a_full_disk_has_room(model_file, tmp_path):
    """A limit on the size of files stands for the disk; it falls while requests are being answered."""
    flags = ("--context", 512, "--batches", tmp_path / "batches.db")
    with Program(*flags) as running:
        batch = make_batch(running, [entry(f"n{i}", max_tokens=200, ignore_eos=True) for i in range(4)])
        wait_until(lambda: running.engine()["running"] > 0, 20, "it is worked on")
        _, hard = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (4096, hard))
        wait_until(lambda: running.engine()["running"] == 0, 60, "its answers are there")
        time.sleep(0.5)
        assert running.process.poll() is None, "the process lives"
        status, _, body = running.get(f"/v1/messages/batches/{batch}")
        assert status == 503 or json.loads(body)["processing_status"] == "in_progress", body
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        found = wait_until(lambda: ended(running, batch), 30, "the batch has ended, without a restart")
        assert found["request_counts"]["succeeded"] == 4


# --- Background responses ---


def in_background(running, tokens):
    body = {"model": "default", "input": "Count.", "background": True, "max_output_tokens": tokens, "ignore_eos": True}
    status, response = post(running, "/v1/responses", body)
    assert status == 200, response
    return response["id"]


def test_background_responses_have_the_drain_to_end(model_file, tmp_path):
    flags = ("--context", 2048, "--responses", tmp_path / "responses.db")
    with Program(*flags, "--drain", 60) as running:
        name = in_background(running, 150)
        wait_until(lambda: running.engine()["running"] == 1, 20, "it is being answered")
        assert running.stop(signal.SIGTERM) == 0
    with Program(*flags) as running:
        response = json.loads(running.get(f"/v1/responses/{name}")[2])
        assert (response["status"], response["usage"]["output_tokens"]) == ("incomplete", 150), response
        assert response["incomplete_details"]["reason"] == "max_output_tokens"


def test_a_background_response_past_the_drain_has_failed_with_what_it_has(model_file, tmp_path):
    flags = ("--context", 2048, "--responses", tmp_path / "responses.db")
    with Program(*flags, "--drain", 1) as running:
        name = in_background(running, 1900)
        wait_until(lambda: running.engine()["running"] == 1, 20, "it is being answered")
        began = time.monotonic()
        assert running.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began >= 1, "it had the drain's time"
    with Program(*flags) as running:
        response = json.loads(running.get(f"/v1/responses/{name}")[2])
        assert response["status"] == "failed" and response["error"]["code"] == "server_error"
        assert response["output"][0]["content"][0]["text"], "what was answered is kept"


def test_going_on_from_a_response_whose_predecessor_was_deleted_says_so(server):
    first = post(server, "/v1/responses", {"model": "default", "input": "Hi.", "max_output_tokens": 4})[1]["id"]
    ask = {"model": "default", "input": "And?", "max_output_tokens": 4}
    second = post(server, "/v1/responses", ask | {"previous_response_id": first})[1]["id"]
    assert server.request("DELETE", f"/v1/responses/{first}")[0] == 200
    status, answer = post(server, "/v1/responses", ask | {"previous_response_id": second})
    error = answer["error"]
    assert status in (400, 404) and error["param"] == "previous_response_id"
    assert first in error["message"] and second in error["message"] and "not kept" in error["message"], error


# --- The audit log ---


@pytest.mark.parametrize("required", [False, True])
def test_an_audit_log_on_a_full_disk(model_file, tmp_path, required):
    log = tmp_path / "audit.jsonl"
    flags = ["--context", 512, "--audit-log", log] + (["--audit-required"] if required else [])
    with Program(*flags) as running:
        _, hard = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (log.stat().st_size + 20, hard))

        def ask(name):
            return running.request("GET", "/v1/models", None, {"x-request-id": name})

        def health():
            status, _, body = running.get("/health")
            assert status == 200
            return json.loads(body)

        ask("one")
        wait_until(lambda: "audit_log" in health().get("degraded", {}), 10, "/health tells of it")
        for name in ("two", "three"):
            status, _, body = ask(name)
            assert status == (503 if required else 200), body
            assert not required or "audit log" in json.loads(body)["error"]["message"]
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        wait_until(lambda: "degraded" not in health(), 10, "/health is well again")
        assert ask("four")[0] == 200
        read = [json.loads(line)["request_id"] for line in log.read_text().splitlines()]
        asked = [name for name in read if name in ("one", "two", "three", "four")]
        assert asked[:3] == ["one", "two", "three"], "no line is lost, none is torn"
