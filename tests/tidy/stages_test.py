#!/usr/bin/env python3
"""Which stages scripts/test runs and skips, in a scratch checkout whose tools are stubs. Standard library only."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Each stub notes its call, and fails where a file of its name says so.
STUB = """#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
[ ! -e "$CALLS.fails.$(basename "$0")" ]
"""
CHECKED = ["tests, textkit", "tests, optimised", "tests over HTTP", "long tests over HTTP", "tests, ThreadSanitizer",
           "tests, ASan and UBSan", "fuzz, 1 s each", "ARM kernels, under qemu"]


class Stages(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name) / "checkout"
        self.calls = pathlib.Path(folder.name) / "calls"
        for name in ("scripts/test", "tools/fingerprint", "tools/tally"):
            self.write(name, (ROOT / name).read_text(), 0o755)
        for name in ("scripts/setup", "scripts/build", "scripts/fuzz", "tools/fetch"):
            self.write(name, STUB, 0o755)
        for name in ("src/a.cpp", "docs/a.md", "tests/serve/test_a.py", "textkit/Cargo.toml", "fuzz/a_fuzz.cpp",
                     "tests/serve/node/package-lock.json", "third_party/test-requirements.txt"):
            self.write(name, name)
        self.write(".gitignore", "/build/\n/.deps/\nnode_modules/\n")
        self.write(".deps/env", "")
        self.write(".deps/venv/installed.txt", "third_party/test-requirements.txt")
        self.write("tests/serve/node/node_modules/installed.json", "tests/serve/node/package-lock.json")
        self.write(".deps/venv/bin/python", STUB, 0o755)
        for name in ("ctest", "cargo"):
            self.write(f"../bin/{name}", STUB, 0o755)
        subprocess.run(["git", "init", "-q"], cwd=self.root, check=True)

    def write(self, name, text, mode=0o644):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def run_test(self, **variables):
        """Returns (stages that ran, stages that were skipped, the whole output)."""
        environment = {**os.environ, "CI": "", "PIPPIN_FUZZ_SECONDS": "1", "CALLS": str(self.calls),
                       "PIPPIN_TEST_MODELS": str(self.root / "../models"), **variables}
        environment["PATH"] = f"{self.root}/../bin:{environment['PATH']}"
        done = subprocess.run([self.root / "scripts/test"], capture_output=True, text=True, env=environment)
        text = done.stdout + done.stderr
        self.assertRegex(text, r"\d+ passed, \d+ failed\n\Z")
        ran = re.findall(r"^== (.*): (?:done|FAILED \(\d+\)) in \d+ s$", text, re.MULTILINE)
        skipped = re.findall(r"^== (.*): skipped, ", text, re.MULTILINE)
        return ran, skipped, text

    def checked(self):
        return [stage for stage in CHECKED if stage != CHECKED[-1] or os.uname()[::4] == ("Linux", "x86_64")]

    def test_what_has_not_changed_is_skipped(self):
        ran, skipped, _ = self.run_test()
        self.assertEqual([stage for stage in self.checked() if stage not in ran], [])
        self.assertEqual(skipped, [])
        ran, skipped, text = self.run_test()
        self.assertEqual([stage for stage in ran if stage in CHECKED or stage == "tests of documents"], [])
        self.assertEqual(skipped, [*self.checked()[:4], "tests of documents", *self.checked()[4:]])
        self.assertNotIn("build, ThreadSanitizer", ran)
        self.assertIn("build, optimised", ran)
        table = re.findall(r"^ +(\d+) s  (.*)$", text, re.MULTILINE)
        self.assertEqual(sorted(int(seconds) for seconds, _ in table)[::-1], [int(seconds) for seconds, _ in table])
        self.assertIn("build, optimised", [name for _, name in table])
        self.assertIn("tests, optimised, skipped", [name for _, name in table])

        ran, skipped, _ = self.run_test(CI="true")
        self.assertEqual((skipped, [stage for stage in self.checked() if stage not in ran]), ([], []))

    def test_a_change_reruns_what_reads_it(self):
        self.run_test()
        for name, stages in (("docs/a.md", ["tests of documents"]),
                             ("tests/serve/test_a.py", ["tests over HTTP", "tests of documents"]),
                             ("tests/serve/long/test_b.py",
                              ["long tests over HTTP", "tests of documents", "tests, ThreadSanitizer"]),
                             ("src/a.cpp", [stage for stage in self.checked() if stage != "tests, textkit"]),
                             ("tests/new_test.cpp", CHECKED[1:7])):
            self.write(name, "changed")
            ran, _, _ = self.run_test()
            self.assertEqual([stage for stage in ran if stage in CHECKED or stage == "tests of documents"],
                             [stage for stage in stages if stage in ran], name)
            self.assertLessEqual(set(stages), set(ran), name)

    def test_a_failure_is_tried_again_and_old_results_do_not_count(self):
        self.run_test()
        self.write("src/a.cpp", "changed")
        failure = pathlib.Path(f"{self.calls}.fails.ctest")
        failure.touch()
        ran, _, text = self.run_test()
        self.assertIn("failed stage: tests, optimised\n", text)
        self.assertNotIn("tests of documents", ran)
        failure.unlink()
        ran, skipped, _ = self.run_test()
        self.assertIn("tests, optimised", ran)
        self.assertIn("tests over HTTP", skipped)

        self.write("build/test-results/ci/ctest.xml", "<testsuite><testcase name='a' status='run'/></testsuite>")
        self.assertIn("\n1 passed, 0 failed\n", self.run_test()[2])
        self.write("src/a.cpp", "changed once more")
        broken = pathlib.Path(f"{self.calls}.fails.build")
        broken.touch()
        self.assertRegex(self.run_test()[2], r"\n0 passed, [34] failed\n")

    def test_another_set_of_models_reruns_all(self):
        self.run_test()
        self.write("../models/a.gguf", "")
        self.assertEqual(self.run_test()[1], [])

    def test_without_git_nothing_is_skipped(self):
        shutil.rmtree(self.root / ".git")
        self.run_test()
        self.assertEqual(self.run_test()[1], [])


if __name__ == "__main__":
    unittest.main()
