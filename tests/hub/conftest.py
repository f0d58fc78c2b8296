"""The servers and the program of the tests here: PIPPIN_HUB_PULL names pippin_hub_pull, built beside them."""

import os
import re
import signal
import subprocess
from pathlib import Path

import fake_hub
import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(120))


class Puller:
    """Runs the program in a home folder of its own."""

    def __init__(self, house, home):
        self.house, self.home = house, home
        self.program = os.environ.get("PIPPIN_HUB_PULL")
        if not self.program:
            pytest.fail("PIPPIN_HUB_PULL must name the built program")
        self.environment = {
            "HOME": str(home),
            "HF_ENDPOINT": house.url("hub"),
            "PIPPIN_OLLAMA_REGISTRY": house.url("registry"),
            "PATH": os.environ.get("PATH", ""),
        }

    @property
    def hf(self):
        return self.home / ".cache/huggingface/hub"

    @property
    def ollama(self):
        return self.home / ".ollama/models"

    def start(self, *arguments, before_start=None, **variables):
        environment = self.environment | {k: str(v) for k, v in variables.items()}
        # A file that may not grow is to be an error, not the end.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        return subprocess.Popen(
            [self.program, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before_start,
            restore_signals=False,
        )

    def __call__(self, *arguments, **options):
        """Returns (exit code, stdout, stderr)."""
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=100)
        return process.returncode, out.strip(), err.strip()

    def pull(self, name, **options):
        """Pulls, which must succeed, and returns the file."""
        code, out, err = self("pull", name, **options)
        assert code == 0, err
        return Path(out.splitlines()[-1])

    def fail(self, name, **options):
        """Pulls, which must fail with a message, and returns it. Nothing half may have a final name."""
        code, out, err = self("pull", name, **options)
        told = re.search(r"^\w+: (\[hub\]|\[files\]|\[gguf\]|\[config\]|architecture)", err, re.M)
        assert code == 1 and out == "" and told, (code, out, err)
        return err.splitlines()[-1]

    def blobs(self):
        """Names of all blobs, of both stores, whole or not."""
        found = list(self.hf.glob("models--*/blobs/*")) + list(self.ollama.glob("blobs/*"))
        return sorted(path.name for path in found)


@pytest.fixture
def house():
    servers = fake_hub.House()
    yield servers
    servers.close()


@pytest.fixture
def puller(house, tmp_path):
    return Puller(house, tmp_path)
