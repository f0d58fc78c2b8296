"""What the comparing scripts share: a server under test, JSON lines of a program, the machine's name."""

import json
import os
import pathlib
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

READY_S_MAX = 120
STOP_S_MAX = 30
LOG_BYTES_SHOWN = 2000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server that runs while the `with` block does; `url` answers when it is entered."""

    def __init__(self, command, environment=None):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [str(part) for part in command] + ["--port", str(self.port)]
        self.environment = os.environ | (environment or {})

    def __enter__(self):
        start = time.monotonic()
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        env=self.environment)
        while time.monotonic() - start < READY_S_MAX and self.process.poll() is None:
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=2) as answer:
                    if answer.status == 200:
                        self.ready_s = time.monotonic() - start
                        return self
            except OSError:
                time.sleep(0.05)
        self.log.seek(0)
        said = self.log.read()[-LOG_BYTES_SHOWN:].decode(errors="replace")
        self.__exit__()
        sys.exit(f"not ready: {' '.join(self.command)}\n{said}")

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def memory_mib(self):
        """The largest resident memory so far, or None where the system does not tell."""
        try:
            status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return None
        return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def json_lines(command):
    """Runs a command; returns the JSON objects among the lines it prints, or ends with what it says of its failure."""
    run = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"failed ({run.returncode}): {' '.join(map(str, command))}\n{run.stderr[-LOG_BYTES_SHOWN:]}")
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


def cpu_name():
    try:
        info = pathlib.Path("/proc/cpuinfo").read_text()
        return next(line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def allowed_cpus():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
