"""The layout of C++ files, by the one version of clang-format that third_party/test-requirements.txt pins."""

import pathlib
import re
import shutil
import subprocess

VERSION = "16.0.6"


def formatter(root):
    """Returns the pinned clang-format: of the tests' Python packages, else of the system; None where neither is it."""
    for name in (root / ".deps/venv/bin/clang-format", "clang-format-16", "clang-format"):
        program = shutil.which(str(name))
        if program and f"version {VERSION}" in subprocess.run([program, "--version"], capture_output=True,
                                                              text=True).stdout:
            return program
    return None


def cpp_files(tree):
    return [p for p in tree.files() if pathlib.PurePosixPath(p).suffix in (".h", ".cpp")]


def check_layout(tree, program):
    """Notes each file that clang-format would change; the exceptions say which ones it may."""
    run = subprocess.run([program, "--dry-run", *cpp_files(tree)], cwd=tree.root, capture_output=True, text=True)
    if run.returncode != 0:
        tree.breach(".clang-format", 1, "format", f"clang-format failed: {run.stderr.strip()[:200]}")
    for path in sorted(set(re.findall(r"(?m)^([^\s:]+):\d+:\d+: warning:", run.stderr))):
        tree.count("format", path, 1, 1, 0, "clang-format would change it; tools/tidy --fix-format does")


def fix_layout(tree, program, spared):
    """Lays out all C++ files but those whose exceptions stand: to lay these out is a commit of its own."""
    paths = [p for p in cpp_files(tree) if p not in spared]
    subprocess.run([program, "-i", *paths], cwd=tree.root, check=True)
