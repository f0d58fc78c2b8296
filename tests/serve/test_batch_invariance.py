"""The batch-invariance monitor beside users: on a CPU, concurrent requests change no answer, and it says so."""

import json
import re
import threading

from program import Program, wait_until


def rows(running):
    """The monitor's rows of /metrics, by name."""
    text = running.get("/metrics")[2].decode()
    found = re.findall(r"^pippin:(divergence_\w+|serial)\{[^}]*\} (\S+)$", text, re.M)
    return {name: float(value) for name, value in found}


def test_monitor_beside_users(server):
    with Program("--divergence-monitor", 1, "--divergence-action", "serialise", "--log", "info") as running:
        stop = threading.Event()
        answers = []

        def user():
            body = {"model": "default", "messages": [{"role": "user", "content": "Tell me of rivers."}], "seed": 1,
                    "max_tokens": 24, "ignore_eos": True}
            while not stop.is_set():
                status, _, got = running.request("POST", "/v1/chat/completions", json.dumps(body).encode(),
                                                 {"Content-Type": "application/json"})
                answers.append((status, json.loads(got)["choices"][0]["message"]["content"]))
                stop.wait(1.5)

        users = [threading.Thread(target=user) for _ in range(2)]
        for thread in users:
            thread.start()
        try:
            wait_until(lambda: rows(running)["divergence_answers_total"] >= 8, 120, "two rounds are done")
        finally:
            stop.set()
            for thread in users:
                thread.join(60)
        told = rows(running)
        assert told["divergence_exact_total"] == told["divergence_answers_total"], told
        assert told["divergence_agreed_total"] == told["divergence_tokens_total"] > 0, told
        assert told["serial"] == 0
        assert len(set(answers)) == 1 and answers[0][0] == 200, set(answers)
        log = running.log_text()
        line = r"\[batch_invariance\] 4 of 4 answers are the same beside concurrent requests, \d+ tokens"
        assert re.search(line, log), log
        assert "differ" not in log
