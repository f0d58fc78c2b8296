"""Threads that nobody guards: what they throw at their root ends the process. base/thread.h makes them all."""

import re

HOME = "src/base/thread.cpp"
MADE = re.compile(r"\bstd::(?:j?thread|async)\b(?!::)|\bpthread_create\b")

PLANTED = {
    "src/base/starts.cpp": ("void f() { std::thread([] {}).detach(); }\n", "thread"),
    "src/base/starts.h": ("// What it is.\n#pragma once\nstruct A { std::vector<std::thread> all; };\n", "thread"),
    "src/base/joins.cpp": ("const std::jthread runs([] {});\n", "thread"),
    "src/base/later.cpp": ("auto f = std::async(work);\n", "thread"),
    "src/base/posix.cpp": ("int f() { return pthread_create(&a, nullptr, g, nullptr); }\n", "thread"),
}
CLEAN = {
    HOME: "int f() { return pthread_create(&a, &b, g, nullptr); }\n",
    "src/base/sleeps.cpp": "// Not a std::thread.\nint n = std::thread::hardware_concurrency();\n"
                           "void f() { std::this_thread::yield(); }\nThread t(\"[a]\", [] {});\n",
    "tests/base/starts.cpp": "std::thread t([] {});\n",
}


def check_threads(tree, path, text):
    """`text`: the file's, without its comments and strings."""
    if path == HOME:
        return
    for made in MADE.finditer(text):
        tree.breach(path, text.count("\n", 0, made.start()) + 1, "thread",
                    f"{made[0]}: a pippin::Thread guards its root (base/thread.h)")
