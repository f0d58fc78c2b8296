#!/usr/bin/env python3
"""The program's command line and its chat, on a pipe and on a real pseudo-terminal. Standard library only.

    tests/app/program_test.py PATH_OF_PIPPIN

Cases that need a model are skipped unless PIPPIN_TEST_MODELS names a folder with SmolLM2-135M-Instruct.Q4_1.gguf.
"""

import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
import unittest

LIMIT_S = 120
PROGRAM = ""
MODEL = pathlib.Path(os.environ.get("PIPPIN_TEST_MODELS", "/nowhere")) / "SmolLM2-135M-Instruct.Q4_1.gguf"
needs_model = unittest.skipUnless(MODEL.is_file(), "PIPPIN_TEST_MODELS names no folder with SmolLM2")


def environment(home, **more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIPPIN_", "XDG_"))}
    return {**kept, "HOME": str(home), "LC_ALL": "C.UTF-8", "TERM": "xterm", **more}


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)

    def run_program(self, *words, given=None, **variables):
        return subprocess.run([PROGRAM, *map(str, words)], input=given, stdin=None if given is not None else
                              subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S,
                              env=environment(self.home, **variables), check=False)


class CommandLine(Case):
    def test_help_and_version_go_to_stdout(self):
        for words, part in ((["--version"], "pippin 0."), (["--help"], "pippin serve [MODEL ...]"), ([], "pippin run"),
                            (["serve", "--help"], "--port PORT"), (["run", "--help"], "--temperature T")):
            done = self.run_program(*words)
            self.assertEqual((done.returncode, done.stderr), (0, ""), words)
            self.assertIn(part, done.stdout)

    def test_wrong_usage_is_2_and_names_the_flag(self):
        for words, part in ((["sreve"], "sreve"), (["serve", "--prot", "1"], "--prot"), (["run", "a", "b", "c"], "c"),
                            (["serve", "--port"], "--port"),
                            (["serve", "--port", "x"], "--port: expected a whole number"),
                            (["run", "--temperature", "3"], "--temperature: expected a number from 0 to 2"),
                            (["serve", "--host", "0.0.0.0"], "--allow-unauthenticated")):
            done = self.run_program(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertIn(part, done.stderr)

    def test_flags_of_other_servers_are_understood(self):
        for words, part in ((["serve", "--max-rows", "x"], "--max-rows: expected a whole number from 1 to 4096"),
                            (["serve", "-np", "x"], "-np: expected a whole number from 1 to 4096"),
                            (["serve", "-np=0"], "-np: expected"), (["serve", "-c", "x"], "-c: expected"),
                            (["serve", "-cx"], "-c: expected"), (["serve", "-t", "-1"], "-t: expected"),
                            (["run", "--temp", "9"], "--temp: expected a number from 0 to 2"),
                            (["bench", "-r", "0"], "-r: expected"),
                            (["serve", "-m", "nothing", "--no-enable-prefix-caching"], "no such model: nothing"),
                            (["run", "-m", "nothing", "Hello"], "no such model: nothing"),
                            (["run", "Hello", "--model", "nothing"], "no such model: nothing"),
                            (["run", "-m", "a", "b", "c"], "--model: expected one model"),
                            (["bench", "-m", "a", "b"], "--model: expected one model"),
                            (["serve", "--api-key", "x"], "pippin key create"),
                            (["serve", "-ngl", "99"], "--device cuda")):
            done = self.run_program(*words)
            self.assertNotEqual((done.returncode, done.stdout), (0, ""), words)
            self.assertIn(part, done.stderr, words)

    def test_of_several_names_the_last_one_typed_counts(self):
        for words, part in ((["--max-rows", "x", "-np", "y"], "--max-rows: expected"),
                            (["-np", "y", "--max-rows", "x"], "-np: expected")):
            self.assertIn(part, self.run_program("serve", *words).stderr)
        self.assertIn("no such model", self.run_program("serve", "nothing", "--max-rows", "2", "-np", "3").stderr)

    def test_a_flag_wins_over_its_variable(self):
        wrong = self.run_program("serve", "nothing", PIPPIN_PORT="far")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("PIPPIN_PORT", wrong.stderr)
        self.assertIn("0.0.0.0", self.run_program("serve", PIPPIN_HOST="0.0.0.0").stderr)
        flag = self.run_program("serve", "nothing", "--host", "127.0.0.1", PIPPIN_HOST="0.0.0.0")
        self.assertIn("no such model", flag.stderr)

    def test_what_cannot_be_loaded_is_1(self):
        broken = self.home / "broken.gguf"
        broken.write_bytes(b"GGUF" + b"\xff" * 60)
        for words, part in ((["run", self.home / "none.gguf", "x"], "no such model"), (["serve"], "scripts/serve"),
                            (["run", broken, "x"], "broken.gguf"), (["serve", broken, "--port", "0"], "broken.gguf")):
            done = self.run_program(*words)
            self.assertEqual((done.returncode, done.stdout), (1, ""), words)
            self.assertIn(part, done.stderr)


@needs_model
class OneAnswer(Case):
    def test_prompt_and_pipe_say_the_same(self):
        flags = ["--temperature", "0", "--max-tokens", "12"]
        prompt = self.run_program("run", MODEL, "Name a river.", *flags)
        self.assertEqual(prompt.returncode, 0, prompt.stderr)
        self.assertTrue(prompt.stdout.strip())
        self.assertRegex(prompt.stderr, r"^loading SmolLM2-135M-Instruct.Q4_1: 97 MB in [0-9.]+ s\n$")
        pipe = self.run_program("run", MODEL, *flags, given="Name a river.\n")
        self.assertEqual(pipe.stdout, prompt.stdout)

    def test_an_empty_pipe_is_told_before_loading(self):
        done = self.run_program("run", MODEL, given="\n")
        self.assertEqual((done.returncode, done.stderr), (1, "pippin: stdin is empty: there is nothing to answer\n"))

    def test_a_seed_makes_it_repeatable(self):
        words = ["run", MODEL, "Invent a word.", "--max-tokens", "16", "--temperature", "1.5", "--seed"]
        first, again, other = (self.run_program(*words, seed).stdout for seed in ("1", "1", "2"))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_a_prompt_beyond_the_context_is_told(self):
        done = self.run_program("run", MODEL, "--context", "64", given="word " * 200)
        self.assertEqual(done.returncode, 1)
        self.assertIn("64", done.stderr)

    def test_ctrl_c_ends_it_with_130(self):
        with subprocess.Popen([PROGRAM, "run", MODEL, "Tell a very long story."], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                              env=environment(self.home)) as process:
            self.assertTrue(process.stdout.read(1))
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            self.assertEqual(process.wait(LIMIT_S), 130)

    def test_a_reader_that_leaves_ends_it(self):
        with subprocess.Popen([PROGRAM, "run", MODEL, "Tell a very long story."], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                              env=environment(self.home)) as process:
            process.stdout.read(1)
            process.stdout.close()
            self.assertEqual(process.wait(LIMIT_S), 0)


@needs_model
class ChatInATerminal(Case):
    def setUp(self):
        super().setUp()
        self.seen = ""
        self.process, self.terminal = None, None

    def start(self, *words, prompt=True):
        terminal, inner = pty.openpty()
        self.before = termios.tcgetattr(inner)
        self.inner = inner
        self.process = subprocess.Popen([PROGRAM, "run", MODEL, "--temperature", "0", *words], stdin=inner,
                                        stdout=inner, stderr=inner, env=environment(self.home),
                                        start_new_session=True)
        self.terminal = terminal
        self.addCleanup(self.process.kill)
        self.addCleanup(os.close, terminal)
        self.addCleanup(os.close, inner)
        if prompt:
            self.expect("> ")

    def type(self, text):
        os.write(self.terminal, text.encode())

    def expect(self, pattern):
        """Waits until what came since the last match holds the pattern, and returns the text up to its end."""
        end = time.monotonic() + LIMIT_S
        while not (found := re.search(pattern, self.seen)):
            self.assertGreater(end, time.monotonic(), f"no {pattern!r} in {self.seen!r}")
            if select.select([self.terminal], [], [], 1)[0]:
                self.seen += os.read(self.terminal, 65536).decode(errors="replace")
        text, self.seen = self.seen[:found.end()], self.seen[found.end():]
        return text

    def ctrl_c(self):
        # The pseudo-terminal is not the controlling one, so the key does not become a signal by itself.
        self.process.send_signal(signal.SIGINT)

    def test_history_commands_and_the_end(self):
        self.start("--max-tokens", "8")
        self.type("/help\n")
        self.expect(r"Ctrl-C +stops the answer")
        self.type("Hello, caf\u00e9\n")
        self.expect(r"\[cut at the limit; 8 tokens, [0-9.]+ tokens/s")
        self.type("/set seed x\n")
        self.expect("expected a whole number")
        self.type("/bye\n")
        self.assertEqual(self.process.wait(LIMIT_S), 0)
        history = self.home / ".local" / "state" / "pippin" / "history"
        self.assertIn("caf\u00e9", history.read_text())
        self.assertEqual(history.stat().st_mode & 0o777, 0o600)
        self.assertEqual(termios.tcgetattr(self.inner)[:4], self.before[:4], "the terminal is as it was")

    def test_ctrl_c_stops_the_answer_and_not_the_program(self):
        self.start()
        self.type("Tell a very long story about the sea.\n")
        self.expect(r"the sea\.\r\n\w+ \w+ \w+ \w+")
        self.ctrl_c()
        self.expect(r"\[stopped; \d+ tokens")
        self.expect("> ")
        self.type("/set max-tokens 4\n")
        self.expect("> ")
        self.type("Hello\n")
        self.expect(r"\[cut at the limit; 4 tokens")
        self.type("\x04")
        self.assertEqual(self.process.wait(LIMIT_S), 0)

    def test_what_is_typed_ahead_waits_for_its_prompt(self):
        self.start("--max-tokens", "4", prompt=False)
        self.wait_for_quiet()
        self.type("/set seed 7\nName a river.\n/set\n\x04")  # while the model loads
        self.assertEqual(self.process.wait(LIMIT_S), 0)
        while select.select([self.terminal], [], [], 0.1)[0]:
            self.seen += os.read(self.terminal, 65536).decode(errors="replace")
        self.assertEqual(self.seen.count("Name a river."), 1, self.seen)
        self.assertRegex(self.seen, r"cut at the limit; 4 tokens")
        self.assertRegex(self.seen, r"seed +7")

    def wait_for_quiet(self):
        """Waits until the program has taken the terminal."""
        end = time.monotonic() + LIMIT_S
        while termios.tcgetattr(self.inner)[3] & termios.ECHO:
            self.assertGreater(end, time.monotonic(), "the terminal still echoes")

    def test_ctrl_c_while_loading_leaves_the_terminal_as_it_was(self):
        self.start(prompt=False)
        self.wait_for_quiet()
        self.ctrl_c()
        self.type("\x04")
        self.assertIn(self.process.wait(LIMIT_S), (130, 0))  # 0: the chat had begun already
        self.assertEqual(termios.tcgetattr(self.inner)[:4], self.before[:4])

    def test_sigterm_leaves_the_terminal_as_it_was(self):
        self.start()
        self.process.terminate()
        self.assertEqual(self.process.wait(LIMIT_S), 143)
        self.assertEqual(termios.tcgetattr(self.inner)[:4], self.before[:4])


if __name__ == "__main__":
    PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
