"""A server that is told to end while it answers: what is cut off is told so, in the API's own form."""

import json
import signal
import threading
import time

import pytest

from program import Program, wait_until

LONG = {"model": "default", "messages": [{"role": "user", "content": "Count."}], "ignore_eos": True, "max_tokens": 1900}


def ask(running, stream, answers):
    body = json.dumps(LONG | {"stream": stream}).encode()
    answers[stream] = running.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_answers_past_the_drain_time_end_with_an_error(server, api):
    answers = {}
    with Program("--drain", 1, "--context", 2048) as running:
        if api == "chat":
            asks = [threading.Thread(target=ask, args=(running, stream, answers)) for stream in (True, False)]
        else:
            asks = [threading.Thread(target=ask_responses, args=(running, answers))]
        for thread in asks:
            thread.start()
        wait_until(lambda: running.engine()["running"] == len(asks), 60, "all are answered")
        assert running.stop(signal.SIGTERM) == 0
        for thread in asks:
            thread.join(30)
    if api == "chat":
        status, _, body = answers[True]
        assert status == 200
        events = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
        assert len(events) > 2
        assert json.loads(events[-1])["error"]["code"] == "unavailable", events[-1]
        status, headers, body = answers[False]
        assert status == 503, body
        assert json.loads(body)["error"]["code"] == "unavailable"
        assert int(headers["retry-after"]) >= 1
    else:
        last = [line for line in answers["events"].splitlines() if line.startswith("data: {")][-1]
        event = json.loads(last[6:])
        assert event["type"] in ("response.failed", "error"), event


def ask_responses(running, answers):
    body = json.dumps({"model": "default", "input": "Count.", "stream": True, "store": False, "max_output_tokens": 1900,
                       "ignore_eos": True}).encode()
    _, _, sent = running.request("POST", "/v1/responses", body, {"Content-Type": "application/json"})
    answers["events"] = sent.decode()


def retry_after(headers):
    return {name.lower(): value for name, value in headers.items()}["retry-after"]


def assert_refuses(running):
    """Asks once more for /health, and for an answer."""
    status, headers, _ = running.get("/health")
    assert status == 503 and int(retry_after(headers)) >= 1
    status, headers, body = running.request("POST", "/v1/chat/completions", json.dumps(LONG).encode(),
                                            {"Content-Type": "application/json"})
    assert status == 503 and int(retry_after(headers)) >= 1, body
    assert json.loads(body)["error"]["message"]


def test_health_tells_a_load_balancer_for_the_drain_delay(server):
    delay_s = 6  # long enough to be asked in, on a machine that is busy with other things
    with Program("--drain-delay", delay_s, "--drain", 300, "--context", 2048) as running:
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: running.get("/health")[0] == 503, delay_s, "/health tells")
        assert_refuses(running)
        assert running.process.wait(60) == 0, "it waits for the delay and not for --drain"
        assert time.monotonic() - began >= delay_s


def test_who_connected_just_before_the_end_is_answered(server):
    """A load balancer's look at /health does not end in a reset because the signal came between its two packets."""
    with Program("--drain-delay", 6, "--context", 256) as running:
        early = running.http_connection()
        early.connect()
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: running.get("/health")[0] == 503, 6, "/health tells")
        early.request("GET", "/health")
        answer = early.getresponse()
        assert answer.status == 503 and int(answer.getheader("retry-after")) >= 1
        early.close()
        assert running.process.wait(60) == 0
