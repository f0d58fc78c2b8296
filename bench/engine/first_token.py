#!/usr/bin/env python3
"""Times the start of `pippin run` to the first byte of its answer, the model's file being in the page cache.

    bench/engine/first_token.py PIPPIN FILE [--rounds 5]

Prints each round's seconds and processor seconds (user and system), then the median. Of a virtual machine, much of the
system's part may be the host's: memory that no process has used lately is backed anew, page by page. Standard library
only.
"""

import argparse
import os
import statistics
import subprocess
import time


def read_through(path):
    with open(path, "rb") as file:
        while file.read(1 << 24):
            pass


def first_token(program, path):
    """Returns seconds to the first byte, then user and system seconds of the whole run."""
    started = time.monotonic()
    run = subprocess.Popen([program, "run", path, "Say hi.", "--max-tokens", "1"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    got = run.stdout.read(1)
    seconds = time.monotonic() - started
    run.stdout.read()
    errors = run.stderr.read().decode()
    _, _, usage = os.wait4(run.pid, 0)
    if not got:
        raise SystemExit(f"no answer: {errors}")
    return seconds, usage.ru_utime, usage.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("file")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    read_through(args.file)
    rounds = [first_token(args.program, args.file) for _ in range(args.rounds)]
    for seconds, user, system in rounds:
        print(f"{seconds:.2f} s  user {user:.2f}  system {system:.2f}")
    print(f"median {statistics.median(seconds for seconds, _, _ in rounds):.2f} s")


if __name__ == "__main__":
    main()
