"""`pippin ps`, `stop` and `launch`: which server they ask, how they trust it, what they say where none answers."""

import json
import shutil
import socket
import subprocess
import threading

import pytest

import program


def pippin(*arguments, **environment):
    variables = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"} | environment
    run = subprocess.run([program.program_path(), *map(str, arguments)], capture_output=True, text=True, timeout=60,
                         env={name: str(value) for name, value in variables.items()})
    return run.returncode, run.stdout, run.stderr


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate")
    return program.make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(certificate):
    with program.Program("--context", 256, certificate=certificate) as running:
        yield running


@pytest.fixture(scope="module")
def plain():
    with program.Program("--context", 256) as running:
        yield running


def test_a_certificate_of_ones_own_is_trusted_where_it_is_named(secure, certificate, tmp_path):
    cert, _ = certificate
    url = f"https://127.0.0.1:{secure.port}"
    for arguments, variables in [
        (["--server", url, "--cacert", cert], {}),
        (["--server", url], {"SSL_CERT_FILE": cert}),
        (["--port", secure.port, "--tls-cert", cert], {}),
        ([], {"PIPPIN_SERVER": url, "PIPPIN_CACERT": cert}),
    ]:
        code, out, err = pippin("ps", *arguments, **variables)
        assert code == 0 and f"at {url}" in out, (arguments, variables, err)
    code, _, err = pippin("ps", "--server", url)
    assert code == 1 and "is not trusted" in err and "--cacert" in err and "no server answers" not in err
    code, _, err = pippin("ps", "--server", url, "--cacert", tmp_path / "none.pem")
    assert code == 1 and "there is no file" in err and "none.pem" in err


@pytest.mark.parametrize("client, variable", [("claude", "NODE_EXTRA_CA_CERTS"), ("codex", "SSL_CERT_FILE")])
def test_a_client_that_is_launched_trusts_it_too(secure, certificate, client, variable):
    cert, _ = certificate
    code, out, err = pippin("launch", "--port", secure.port, "--tls-cert", cert, "--print", client)
    assert code == 0, err
    assert f"export {variable}={cert}" in out and f"https://127.0.0.1:{secure.port}" in out


def test_the_server_is_found_as_it_was_started(plain, secure, certificate, tmp_path):
    assert pippin("ps", PIPPIN_PORT=plain.port)[0] == 0
    settings = tmp_path / "pippin" / "pippin.toml"
    settings.parent.mkdir()
    settings.write_text(f'host = "127.0.0.1"\nport = {plain.port}\n')
    code, out, err = pippin("ps", "--json", XDG_CONFIG_HOME=tmp_path)
    assert code == 0 and json.loads(out)["pid"] == plain.process.pid, err
    cert, private = certificate
    settings.write_text(f'port = {secure.port}\ntls_cert = "{cert}"\ntls_key = "{private}"\n')
    code, out, err = pippin("ps", "--json", XDG_CONFIG_HOME=tmp_path)
    assert code == 0 and json.loads(out)["pid"] == secure.process.pid, err
    # What is typed wins.
    code, out, _ = pippin("ps", "--json", "--server", plain.url, XDG_CONFIG_HOME=tmp_path)
    assert code == 0 and json.loads(out)["pid"] == plain.process.pid
    code, _, err = pippin("ps", PIPPIN_PORT=0)
    assert code == 2 and "--server" in err


def test_why_there_is_no_answer_is_told(plain, secure):
    code, _, err = pippin("ps", "--port", program.free_port())
    assert code == 1 and "no server answers at" in err and "pippin serve" in err
    code, _, err = pippin("ps", "--server", "http://no-such-host.invalid")
    assert code == 1 and "no server answers at" in err and "resolve" in err.lower()
    code, _, err = pippin("ps", "--server", f"http://127.0.0.1:{secure.port}")
    assert code == 1 and "https" in err and "no server answers" not in err
    code, _, err = pippin("ps", "--server", f"https://127.0.0.1:{plain.port}")
    assert code == 1 and "no server answers" not in err, err
    code, _, err = pippin("stop", "no-such-model", "--server", plain.url)
    assert code == 1 and "no-such-model" in err


def test_a_server_that_breaks_off_is_not_an_absent_one():
    listener = socket.create_server(("127.0.0.1", 0))

    def hang_up():
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.close()

    threading.Thread(target=hang_up, daemon=True).start()
    code, _, err = pippin("ps", "--server", f"http://127.0.0.1:{listener.getsockname()[1]}")
    listener.close()
    assert code == 1 and "the connection broke" in err and "no server answers" not in err


def test_a_key_that_is_missing_wrong_or_too_weak(tmp_path):
    keys = tmp_path / "keys.db"

    def make(name, *flags):
        made = subprocess.run([program.program_path(), "key", "create", name, "--keys", keys, "--json", *flags],
                              capture_output=True, text=True, check=True)
        return json.loads(made.stdout)["key"]

    user, admin = make("user"), make("admin", "--role", "administer")

    class Keyed(program.Program):
        def _is_ready(self):
            return "pippin serves" in self.log_text()

    with Keyed("--context", 256, "--keys", keys) as running:
        at = ["--server", running.url]
        code, _, err = pippin("ps", *at)
        assert code == 1 and "needs a key" in err and "PIPPIN_API_KEY" in err
        code, _, err = pippin("ps", *at, PIPPIN_API_KEY="pip-wrong")
        assert code == 1 and "does not accept" in err
        assert pippin("ps", *at, PIPPIN_API_KEY=user)[0] == 0
        model = json.loads(pippin("ps", *at, "--json", PIPPIN_API_KEY=user)[1])["models"][0]["id"]
        code, _, err = pippin("stop", model, *at, PIPPIN_API_KEY=user)
        assert code == 1 and "does not allow this" in err
        assert pippin("ps", *at, PIPPIN_API_KEY=admin)[0] == 0
