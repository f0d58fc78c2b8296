"""The program's beginning and end."""

import signal
import threading

import openai
import pytest

import program
from program import Program


@pytest.fixture(scope="module", autouse=True)
def needs_a_model(server):
    pass


def test_address_in_use(server):
    second = Program(port=server.port)
    assert second.process.wait(60) == 1
    assert f"127.0.0.1:{server.port}" in second.log_text()
    assert server.get("/health")[0] == 200


def test_missing_and_broken_models(tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\xff" * 100)
    for path in (tmp_path / "none.gguf", broken):
        failed = Program(model=path)
        assert failed.process.wait(60) == 1
        assert path.name in failed.log_text()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_running_answers_end_before_the_program_does(signal_number):
    with Program("--context", 512) as running:
        client = openai.OpenAI(base_url=running.url + "/v1", api_key="none", max_retries=0)
        stream = client.completions.create(
            model="default", prompt="Once upon a time", max_tokens=60, stream=True, extra_body={"ignore_eos": True}
        )
        chunks = iter(stream)
        next(chunks)
        stopper = threading.Thread(target=running.stop, args=(signal_number,))
        stopper.start()
        reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
        stopper.join(program.STOP_S)
        assert reasons == ["length"]
        assert running.process.returncode == 0
