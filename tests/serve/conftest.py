"""Starts the built program once for all tests here.

PIPPIN_BIN (or PIPPIN_PROGRAM)   the program
PIPPIN_TEST_MODEL                the GGUF file it serves; or PIPPIN_TEST_MODELS, the folder that has SmolLM2
"""

import openai
import pytest

import program

CONTEXT_TOKENS = 2048


def pytest_collection_modifyitems(items):
    for item in items:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(180))


@pytest.fixture(scope="session")
def built():
    if program.program_path() is None or not program.program_path().exists():
        pytest.fail("PIPPIN_BIN must name the built program")


@pytest.fixture(scope="session")
def model_file(built):
    if program.model_path() is None or not program.model_path().exists():
        pytest.skip("no model: PIPPIN_TEST_MODEL names none that exists")
    return program.model_path()


@pytest.fixture(scope="session")
def server(model_file):
    with program.Program("--context", CONTEXT_TOKENS, model=model_file) as running:
        yield running


@pytest.fixture(scope="module")
def coder():
    """A server with Qwen2.5-Coder-1.5B, which calls tools by itself."""
    if program.coder_path() is None:
        pytest.skip("no Qwen2.5-Coder-1.5B in PIPPIN_TEST_MODELS")
    with program.Program("--context", 4096, model=program.coder_path()) as running:
        yield running


@pytest.fixture(scope="session")
def client(server):
    # No retries: a test must see each failure.
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def model(client):
    return client.models.list().data[0].id
