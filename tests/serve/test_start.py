"""How the program starts, or says why it does not: once, with the cause, and without files in places nobody named."""

import contextlib
import json
import os
import subprocess

import pytest

import program

NOBODY = 65534


def pippin(*arguments, user=None, cwd="/", **environment):
    variables = {"PATH": "/usr/bin:/bin"} | environment
    run = subprocess.run([program.program_path(), *map(str, arguments)], capture_output=True, text=True, timeout=60,
                         cwd=cwd, env={name: str(value) for name, value in variables.items()}, user=user)
    return run.returncode, run.stdout, run.stderr


def test_a_start_that_fails_says_so_once(tmp_path, model_file):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model_file.read_bytes()[:100_000])
    text = tmp_path / "text.gguf"
    text.write_text("no model at all")
    for file, cause in ((cut, "is the file complete?"), (text, 'expected the magic "GGUF"')):
        code, out, err = pippin("serve", file, "--port", 0, HOME=tmp_path)
        assert code == 1 and out == "" and err.count(cause) == 1 and len(err.splitlines()) == 1, err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user, whom the modes of files hold back")
def test_what_may_not_be_read_is_told_as_that(tmp_path, model_file):
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    locked = tmp_path / "locked"
    locked.mkdir()
    for path in (tmp_path / "mine.gguf", locked / "inside.gguf"):
        path.write_bytes(model_file.read_bytes()[:1000])
    (tmp_path / "mine.gguf").chmod(0)
    locked.chmod(0)
    config = tmp_path / "pippin.toml"
    config.write_text("port = 1\n")
    config.chmod(0)
    for arguments in (["serve", tmp_path / "mine.gguf"], ["serve", locked / "inside.gguf"],
                      ["serve", "--config", config]):
        code, _, err = pippin(*arguments, user=NOBODY, HOME="/nonexistent")
        assert code != 0 and "Permission denied" in err and "magic" not in err, (arguments, err)
    code, _, err = pippin("serve", tmp_path / "none.gguf", user=NOBODY, HOME="/nonexistent")
    assert code == 1 and "no such model" in err


def test_without_a_home_nothing_is_written_here(tmp_path, model_file):
    code, _, err = pippin("run", model_file, "Hello", "--max-tokens", 1, "--context", 128, cwd=tmp_path)
    assert code == 0, err
    assert pippin("list", cwd=tmp_path)[0] == 0
    assert pippin("key", "list", cwd=tmp_path)[0] in (0, 1)
    assert not list(tmp_path.iterdir())


def test_list_marks_what_cannot_be_served(tmp_path, model_file):
    models = tmp_path / ".local/share/pippin/models"
    models.mkdir(parents=True)
    (models / "good.gguf").symlink_to(model_file)
    (models / "cut.gguf").write_bytes(model_file.read_bytes()[:100_000])
    code, out, err = pippin("list", HOME=tmp_path)
    assert code == 0, err
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert lines["cut"].rstrip().endswith("broken") and "broken" not in lines["good"]
    listed = {entry["name"]: entry for entry in json.loads(pippin("list", "--json", HOME=tmp_path)[1])}
    assert "is the file complete?" in listed["cut"]["error"] and "error" not in listed["good"]


def test_an_alias_neither_circles_nor_hides(tmp_path, model_file):
    models = tmp_path / ".local/share/pippin/models"
    models.mkdir(parents=True)
    (models / "good.gguf").symlink_to(model_file)
    assert pippin("alias", "small", "good", HOME=tmp_path)[0] == 0
    assert pippin("alias", "smaller", "small", HOME=tmp_path)[0] == 0
    assert "good.gguf" in pippin("show", "smaller", HOME=tmp_path)[1]
    code, _, err = pippin("alias", "small", "smaller", HOME=tmp_path)
    assert code == 1 and "circle" in err
    code, _, err = pippin("alias", "good", "hf:org/repo", HOME=tmp_path)
    assert code == 1 and "hide" in err
    assert "good.gguf" in pippin("show", "smaller", HOME=tmp_path)[1], "the file is as it was"


def test_a_context_beyond_the_models_own_is_asked_for_twice(tmp_path, model_file):
    code, _, err = pippin("run", model_file, "Hello", "--context", 9000, "--max-tokens", 1, HOME=tmp_path)
    assert code == 2 and "8192" in err and "--rope-scale" in err, err
    code, out, err = pippin("run", model_file, "Hello", "--context", 9000, "--rope-scale", 2, "--max-tokens", 4,
                            "--temperature", 0, HOME=tmp_path)
    assert code == 0 and out.strip() and "9000" in err and "somewhat worse" in err, err
    code, _, err = pippin("serve", model_file, "--context", 100_000, "--port", 0, HOME=tmp_path)
    assert code == 1 and "100000" in err and "8192" in err and "--rope-scale" in err, err
    with program.Program("--context", 9000, "--rope-scale", 2) as running:
        assert "9000" in running.log_text() and "somewhat worse" in running.log_text()
        (model,) = json.loads(running.get("/v1/status")[2])["models"]
        assert model["limits"]["context_tokens"] == 9000
    # Positions are another, so the answer is.
    plain = pippin("run", model_file, "Hello", "--max-tokens", 24, "--temperature", 0, HOME=tmp_path)[1]
    scaled = pippin("run", model_file, "Hello", "--max-tokens", 24, "--temperature", 0, "--rope-scale", 8,
                    HOME=tmp_path)[1]
    assert plain != scaled


def test_the_grammar_vocabulary_is_prepared_behind_the_first_request(built):
    """On few processors its thread would take a third of those that answer: it is a nice one, and gets little."""
    if program.coder_path() is None:
        pytest.skip("no model with a large vocabulary")
    two = sorted(os.sched_getaffinity(0))[:2]
    server = program.Program("--context", 1024, model=program.coder_path(),
                             before_start=lambda: os.sched_setaffinity(0, two))

    def threads():
        """Returns {thread: (niceness, ticks of processor time)}."""
        found = {}
        for task in os.listdir(f"/proc/{server.process.pid}/task"):
            with contextlib.suppress(OSError):
                with open(f"/proc/{server.process.pid}/task/{task}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                found[task] = int(fields[16]), int(fields[11]) + int(fields[12])
        return found

    preparing = set()

    def sees_it():
        preparing.update(task for task, (niceness, _) in threads().items() if niceness >= 10)
        return preparing

    try:
        program.wait_until(sees_it, 60, "a nice thread prepares it while the weights are read")
    finally:
        if not preparing:
            server.stop()
    with server:
        before = threads()
        body = {"model": "default", "prompt": "The heron waits. " * 40, "max_tokens": 16, "ignore_eos": True}
        assert server.request("POST", "/v1/completions", json.dumps(body).encode())[0] == 200
        spent = {task: ticks - before.get(task, (0, 0))[1] for task, (_, ticks) in threads().items()}
        behind = sum(ticks for task, ticks in spent.items() if task in preparing)
        assert behind <= sum(spent.values()) / 4, (behind, spent)
