#!/usr/bin/env python3
"""Drives a real client against a server of its own, and tells how each of its requests went.

    drive.py CLIENT [--model FILE] [--context N] [--force] [--record FILE] [--limit SECONDS] [--turns N]

CLIENT is one of clients.py, and its program must be on the PATH. The client gets an empty home and a folder with one
file; `pippin launch CLIENT` tells it where the server is. Exit code 1: a request failed, or was not answered whole.
A model may well fail the task: that is no failure here. Environment: PIPPIN_PROGRAM, PIPPIN_TEST_MODELS.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "serve"))

import answers
import program
import recorder
from clients import CLIENTS, NOTES
from forced_call import ForcedCall


ENDED = "the client ended with"


def environment(home, variables):
    """The caller's variables, without those that would lead a client elsewhere, and with these."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("ANTHROPIC_", "OPENAI_", "CLAUDE", "XDG_", "PIPPIN_API"))}
    return kept | {"HOME": str(home), "NO_COLOR": "1", "TERM": "dumb"} | variables


def forced_call(client, notes):
    name, values = client.reads_by
    return ForcedCall(name, {key: value.format(notes=notes) for key, value in values.items()})


def run_turns(client, name, proxy, folder, arguments, call):
    """Runs the client once for each turn. Returns what went wrong."""
    home, work = folder / "home", folder / "project"
    for made in (home, work):
        made.mkdir()
    (work / "notes.txt").write_text(NOTES)
    faults = []
    for turn, flags in enumerate(client.turns[: arguments.turns]):
        proxy.turn = turn
        if call:
            call.due = True
        command = [str(program.program_path()), "launch", "--server", proxy.url, name, *flags]
        print(f"$ {' '.join(command[1:])}", flush=True)
        variables = client.variables | {"PWD": str(work)}  # which some believe more than the system
        process = subprocess.Popen(command, cwd=work, env=environment(home, variables), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        try:
            said, _ = process.communicate(timeout=arguments.limit)
            print(said[-3000:], f"\n[exit code {process.returncode}]", flush=True)
            if process.returncode:
                faults.append(f"{ENDED} {process.returncode}")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 15)
            said, _ = process.communicate()
            faults.append(f"{name} did not end within {arguments.limit} s; it had said: {said[-2000:]}")
        if call and call.due:
            faults.append(f"no request offered {call.name}")
    return faults


def computed_again(exchanges, percent_max):
    """Tells how much of the longest conversation the first request of the second turn had computed again."""
    prompts = [(exchange["turn"], *tokens) for exchange in exchanges if (tokens := answers.usage_of(exchange))]
    longest = max((tokens for turn, tokens, _ in prompts if turn == 0), default=0)
    # Titles and summaries are requests of their own.
    second = next(((tokens, cached) for turn, tokens, cached in prompts if turn == 1 and tokens >= longest), None)
    if second is None:
        return []
    percent = 100 * (second[0] - second[1]) / second[0]
    told = f"the second turn computed {percent:.1f} % of its {second[0]} tokens"
    print(told)
    return [told] if percent > percent_max else []


def verdict(exchanges, faults, may_be_missing=(), stopped=0):
    """Prints all requests and all faults; so many answers are those that the client was told to stop. Returns the exit
    code."""
    left = [exchange for exchange in exchanges if exchange["ended"] == "the client left"]
    if len(left) != stopped:
        faults.append(f"{len(left)} answers were left, not {stopped}")
    faults += answers.report(exchanges, may_be_missing)
    if any(answers.is_cut(exchange["answer"]) for exchange in exchanges):  # an error to some clients
        faults = [fault for fault in faults if not fault.startswith(ENDED)]
    if not any(exchange["method"] == "POST" for exchange in exchanges):
        faults.append("the client asked for nothing")
    print("\n".join(["", *faults, f"{len(faults)} faults in {len(exchanges)} requests"]))
    return 1 if faults else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("--model", default=program.coder_path())
    parser.add_argument("--context", type=int, default=32768)
    parser.add_argument("--max-output", type=int, default=600, help="tokens of an answer: a small model finds no end")
    parser.add_argument("--force", action="store_true", help="have the model read the file: a small one does not")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--limit", type=float, default=1800)
    parser.add_argument("--computed-again", type=float, default=100, metavar="PERCENT",
                        help="of its prompt that a second turn may compute, at most")
    parser.add_argument("--turns", type=int, default=9)
    arguments = parser.parse_args()
    client = CLIENTS[arguments.client]
    with tempfile.TemporaryDirectory(prefix="pippin-client-", dir=os.environ.get("PIPPIN_CLIENTS_FOLDER")) as scratch:
        folder = Path(scratch)
        record = arguments.record or folder / "record.jsonl"
        call = forced_call(client, folder / "project" / "notes.txt") if arguments.force and client.reads_by else None
        with program.Program("--context", arguments.context, "--max-output-tokens", arguments.max_output,
                             model=arguments.model) as server:
            with recorder.Recorder(server.url, record, call) as proxy:
                faults = run_turns(client, arguments.client, proxy, folder, arguments, call)
                program.wait_until(lambda: proxy.open_exchanges == 0, 60, "all requests have ended")
            program.wait_until(server.is_idle, 60, "nothing is left running")
        exchanges = recorder.read(record)
    faults += computed_again(exchanges, arguments.computed_again)
    return verdict(exchanges, faults, client.may_be_missing)


if __name__ == "__main__":
    sys.exit(main())
