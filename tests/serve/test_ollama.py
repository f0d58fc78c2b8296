"""The ollama package against the running program: models, chat, generate, streams, made models."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import ollama
import pytest

import program
from program import wait_until

QUESTION = [{"role": "user", "content": "Name three rivers of Europe and one fact about each."}]
PROMPT = "The capital of France is"
# The same samplers as on the other APIs: none.
GREEDY = {"temperature": 0, "repeat_penalty": 1, "num_predict": 24}


@pytest.fixture(scope="module")
def serving(model_file, tmp_path_factory):
    """The program with Ollama's port open, and a folder of its own for what clients make."""
    port = program.free_port()
    folder = tmp_path_factory.mktemp("ollama")
    flags = ("--context", 2048, "--ollama", "--ollama-port", port, "--ollama-folder", folder)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "XDG_DATA_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS"):
            patch.setenv(name, str(folder / "nothing"))  # of this machine's models none is listed
        with program.Program(*flags, model=model_file) as running:
            running.ollama_port, running.ollama_folder = port, folder
            yield running


@pytest.fixture(scope="module")
def client(serving):
    return ollama.Client(host=f"http://127.0.0.1:{serving.ollama_port}", timeout=120)


@pytest.fixture(scope="module")
def model(client):
    return client.list().models[0].model


def joined(stream):
    """The parts of a stream: content, thinking, calls, and the last line."""
    content, thinking, calls = "", "", []
    for part in stream:
        assert part.model and part.created_at
        content += part.message.content or ""
        thinking += part.message.thinking or ""
        calls += part.message.tool_calls or []
    assert part.done
    return content, thinking, calls, part


# --- The server and its models ---


def test_sign_of_life(serving):
    for method in ("GET", "HEAD"):
        status, headers, body = serving.request(method, "/")
        assert status == 200 and headers["Content-Type"].startswith("text/plain")
        assert body == (b"Ollama is running" if method == "GET" else b"")
    version = json.loads(serving.get("/api/version")[2])
    assert version["version"].count(".") == 2 and version["pippin"]


def test_both_ports_serve_all_apis(serving, client):
    assert ollama.Client(host=serving.url).list().models == client.list().models


def test_list_and_ps(client, model):
    [listed] = [entry for entry in client.list().models if entry.model == model]
    assert listed.size > 50_000_000 and len(listed.digest) == 64 and listed.modified_at
    assert listed.details.format == "gguf" and listed.details.family == "llama"
    assert listed.details.parameter_size == "134.5M" and listed.details.quantization_level == "Q4_1"
    [running] = client.ps().models
    assert running.model == model and running.context_length == 2048 and running.expires_at


def test_show(client, model):
    shown = client.show(model)
    assert set(shown.capabilities) >= {"completion", "tools"}
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.modelinfo["llama.context_length"] == 2048
    assert shown.modelinfo["llama.block_count"] == 30
    assert shown.modelinfo["general.parameter_count"] > 134_000_000
    assert "im_start" in shown.template and shown.modelfile.count("FROM ") >= 1
    with pytest.raises(ollama.ResponseError) as caught:
        client.show("no-such-model")
    assert caught.value.status_code == 404 and "not found" in caught.value.error


# --- Chat ---


def test_chat(client, model):
    answer = client.chat(model, QUESTION, options=GREEDY)
    assert answer.message.role == "assistant" and answer.message.content.strip()
    assert answer.done and answer.done_reason in ("stop", "length")
    assert answer.eval_count == 24 and answer.prompt_eval_count > 20
    assert answer.total_duration >= answer.prompt_eval_duration + answer.eval_duration > 0


def test_stream_equals_whole_answer(client, model):
    whole = client.chat(model, QUESTION, options=GREEDY)
    content, _, _, last = joined(client.chat(model, QUESTION, options=GREEDY, stream=True))
    assert content == whole.message.content
    assert (last.eval_count, last.prompt_eval_count) == (whole.eval_count, whole.prompt_eval_count)


def test_it_answers_as_the_other_api_does(serving, client, model):
    body = {"model": "default", "messages": QUESTION, "temperature": 0, "max_tokens": 24}
    status, _, answer = serving.request(
        "POST", "/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    assert status == 200
    assert json.loads(answer)["choices"][0]["message"]["content"] == client.chat(
        model, QUESTION, options=GREEDY
    ).message.content


def test_options(client, model):
    def text(**options):
        return client.chat(model, QUESTION, options=GREEDY | options).message.content

    assert text(temperature=1, seed=7) == text(temperature=1, seed=7)
    assert len({text(temperature=1, seed=seed) for seed in range(4)}) > 1
    full = text()
    stop = full[len(full) // 2 :][:4]
    assert text(stop=[stop]) == full[: full.index(stop)]
    assert client.chat(model, QUESTION, options={"num_predict": 3}).eval_count == 3
    ignored = client.chat(model, QUESTION, options=GREEDY | {"num_ctx": 512, "num_gpu": 1})
    assert ignored.message.content == full


def test_options_without_effect_are_named(serving, model):
    body = {"model": model, "prompt": "x", "stream": False, "options": {"num_predict": 1, "num_ctx": 64}}
    _, _, answer = serving.request("POST", "/api/generate", json.dumps(body).encode())
    assert [warning["param"] for warning in json.loads(answer)["warnings"]] == ["options.num_ctx"]


@pytest.mark.parametrize("form", ["json", "schema"])
def test_format(client, model, form):
    schema = {
        "type": "object",
        "properties": {"river": {"type": "string", "maxLength": 20}, "km": {"type": "integer", "maximum": 9999}},
        "required": ["river", "km"],
        "additionalProperties": False,
    }
    question = [{"role": "user", "content": "A river of Europe and its length in km, as JSON."}]
    options = {"temperature": 0, "num_predict": 200}
    answer = client.chat(model, question, format="json" if form == "json" else schema, options=options)
    if form == "json" and answer.done_reason == "length":
        assert answer.message.content.lstrip().startswith("{")
        return
    value = json.loads(answer.message.content)
    assert isinstance(value, dict)
    if form == "schema":
        assert set(value) == {"river", "km"} and isinstance(value["km"], int)


def test_logprobs(client, model):
    answer = client.chat(model, QUESTION, options=GREEDY | {"num_predict": 4}, logprobs=True, top_logprobs=2)
    assert len(answer.logprobs) == 4
    for entry in answer.logprobs:
        assert entry.logprob <= 0 and entry.top_logprobs[0].token == entry.token


def test_a_model_that_does_not_think_says_so(client, model):
    with pytest.raises(ollama.ResponseError, match="does not support thinking"):
        client.chat(model, QUESTION, think=True)
    assert client.chat(model, QUESTION, think=False, options=GREEDY).message.content


def test_images_are_refused(client, model):
    with pytest.raises(ollama.ResponseError, match="no images"):
        client.chat(model, [{"role": "user", "content": "What is it?", "images": ["aGVsbG8="]}])


def test_too_long_a_conversation_is_an_error(client, model):
    with pytest.raises(ollama.ResponseError) as caught:
        client.chat(model, [{"role": "user", "content": "word " * 4000}])
    assert caught.value.status_code == 400 and "2048" in caught.value.error


def test_a_client_that_leaves_ends_its_answer(serving, client, model):
    stream = client.chat(model, QUESTION, options={"num_predict": 1800}, stream=True)
    next(stream)
    stream.close()
    wait_until(serving.is_idle, 10, "the blocks of a left stream are free")


# --- Generate ---


def test_generate(client, model):
    whole = client.generate(model, PROMPT, raw=True, options=GREEDY)
    assert "Paris" in whole.response and whole.context is None
    parts = list(client.generate(model, PROMPT, raw=True, options=GREEDY, stream=True))
    assert "".join(part.response for part in parts) == whole.response
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]


def test_generate_is_a_chat_with_one_message(client, model):
    options = {"options": GREEDY, "system": "Answer briefly."}
    by_prompt = client.generate(model, QUESTION[0]["content"], **options)
    messages = [{"role": "system", "content": "Answer briefly."}, *QUESTION]
    assert by_prompt.response == client.chat(model, messages, options=GREEDY).message.content


def test_context_goes_on(client, model):
    first = client.generate(model, "My name is Ada.", options=GREEDY)
    again = client.generate(model, "What is my name?", context=first.context, options=GREEDY)
    alone = client.generate(model, "What is my name?", options=GREEDY)
    # Of the answer's tokens its end is not told, if it had one.
    both = first.prompt_eval_count + first.eval_count
    assert len(first.context) in (both, both - 1)
    assert again.prompt_eval_count == len(first.context) + alone.prompt_eval_count


def test_a_template_of_ones_own(client, model):
    template = "<|im_start|>user\n{{ .Prompt }}<|im_end|>\n<|im_start|>assistant\n{{ .Response }}"
    assert client.generate(model, QUESTION[0]["content"], template=template, options=GREEDY).response
    with pytest.raises(ollama.ResponseError, match="range"):
        client.generate(model, "x", template="{{ range .Messages }}{{ end }}")


def test_suffix_needs_a_model_that_knows_middles(client, model):
    shown = client.show(model)
    if "insert" in shown.capabilities:
        assert client.generate(model, "def f(x):", suffix="    return y", options=GREEDY).response
    else:
        with pytest.raises(ollama.ResponseError, match="middle"):
            client.generate(model, "def f(x):", suffix="    return y")


def test_loading_and_letting_go(client, model):
    assert client.generate(model).done_reason == "load"
    assert client.generate(model, keep_alive=0).done_reason == "unload"
    assert client.chat(model, keep_alive="5m").done_reason == "load"


# --- Embeddings, push: not here yet ---


def test_what_cannot_be_done_says_so(client, model):
    with pytest.raises(ollama.ResponseError, match="does not support embeddings"):
        client.embed(model, "x")
    with pytest.raises(ollama.ResponseError, match="does not support embeddings"):
        client.embeddings(model, "x")
    with pytest.raises(ollama.ResponseError, match="push is not supported"):
        client.push(model)


# --- Made models ---


def test_create_show_copy_delete(serving, client, model):
    statuses = [
        part.status
        for part in client.create(
            "mario", from_=model, system="You are Mario.", parameters={"num_predict": 5, "temperature": 0}, stream=True
        )
    ]
    assert statuses[-1] == "success"
    shown = client.show("mario")
    assert "num_predict" in shown.parameters and "You are Mario." in shown.modelfile
    assert shown.details.parent_model
    assert client.chat("mario", QUESTION).eval_count == 5
    plain = client.chat(model, QUESTION, options=GREEDY)
    assert client.chat("mario", QUESTION, options=GREEDY).prompt_eval_count != plain.prompt_eval_count
    assert client.copy("mario", "games/luigi:v1").status == "success"
    assert {entry.model for entry in client.list().models} == {model, "mario:latest", "games/luigi:v1"}
    assert any(serving.ollama_folder.rglob("*.json"))
    for name in ("mario", "games/luigi:v1"):
        assert client.delete(name).status == "success"
    assert [entry.model for entry in client.list().models] == [model]
    with pytest.raises(ollama.ResponseError) as caught:
        client.delete("mario")
    assert caught.value.status_code == 404


def test_made_models_outlive_the_program(serving, client, model):
    client.create("kept", from_=model, parameters={"num_predict": 2})
    with program.Program("--context", 512, "--ollama-folder", serving.ollama_folder) as other:
        assert ollama.Client(host=other.url).generate("kept", "Hello").eval_count == 2
    client.delete("kept")


def test_a_model_that_could_not_be_read_again_is_not_made(serving, client, model):
    with pytest.raises(ollama.ResponseError) as caught:
        client.create("big", from_=model, system="x" * (5 << 20))
    assert caught.value.status_code == 413 and "bytes" in str(caught.value)
    assert "big:latest" not in {entry.model for entry in client.list().models}
    assert not list(serving.ollama_folder.rglob("*big*"))


def test_files_of_any_content_count_as_models(client, model, tmp_path):
    made = tmp_path / "ollama"
    with program.Program("--context", 256, "--ollama-folder", made) as other:
        there = ollama.Client(host=other.url)
        there.create("one", from_=model, system="Hi.")
        (file,) = made.rglob("*.json")
        for i in range(999):
            file.with_name(f"junk{i}.json").write_text("no model")
        with pytest.raises(ollama.ResponseError, match="1000 models"):
            there.create("two", from_=model, system="Hi.")
        assert there.create("one", from_=model, system="Ho.").status == "success", "it takes the place of the first"
        assert not [path for path in made.rglob("*") if path.suffix in (".new", ".next")]


def test_files_with_digests(client, tmp_path):
    file = tmp_path / "file.bin"
    file.write_bytes(bytes(range(256)) * 64)
    digest = client.create_blob(file)
    assert digest.startswith("sha256:")
    with pytest.raises(ollama.ResponseError, match="uploaded files"):
        client.create("of-files", files={"a.gguf": digest})


def test_an_upload_is_written_whole_beside_others_of_its_name(serving):
    content = bytes(range(256)) * 5000
    hex_ = hashlib.sha256(content).hexdigest()
    blobs = serving.ollama_folder / "blobs"
    file = blobs / f"sha256-{hex_}"
    # What lies in the way of a name that every writer would take.
    for name in (".next", ".new", ".part"):
        (blobs / (file.name + name)).mkdir(parents=True)
    before = {path.name for path in blobs.iterdir()}

    def upload(_):
        return serving.request("POST", f"/api/blobs/sha256:{hex_}", content)[0]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(upload, range(32))) == {201}
    assert file.read_bytes() == content
    assert {path.name for path in blobs.iterdir()} == before | {file.name}


def test_pulling_what_is_served_is_done(client, model):
    assert client.pull(model).status == "success"
    assert [part.status for part in client.pull(model, stream=True)][-1] == "success"


# --- Errors before a route is reached ---


def test_errors_of_this_api_have_its_form(serving):
    for method, path, status in (("GET", "/api/nothing", 404), ("GET", "/api/chat", 405)):
        answer = serving.request(method, path)
        assert answer[0] == status and isinstance(json.loads(answer[2])["error"], str)
    answer = serving.request("GET", "/v1/nothing")
    assert isinstance(json.loads(answer[2])["error"], dict)
