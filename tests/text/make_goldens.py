#!/usr/bin/env python3
"""Writes goldens/<model>.txt: what llama.cpp makes of each text of corpus.txt.

    make_goldens.py --llama-tokenize BUILD/bin/llama-tokenize --models DIRECTORY

One line a text: the number of ids and a hash of them, once as `llama-tokenize --stdin` gives them (BOS where the model
wants it, special tokens parsed) and once as with `--no-bos --no-parse-special`. llama-tokenize loads the model anew for
each text, which would take hours, so the ids come from llama_tokenize() of the libllama.so beside it, by ctypes; 15
texts a model are then checked both ways against the program itself.

    make_goldens.py ... --explain PIPPIN_ENCODE     instead compares with our program and prints the texts that differ
"""

import argparse
import ast
import ctypes
import json
import pathlib
import subprocess

HERE = pathlib.Path(__file__).parent
MODELS = {
    "smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "qwen2.5-coder": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    "gemma-3": "gemma-3-270m-q4_k_m.gguf",
}


def unescape(line):
    out, rest = [], iter(line)
    for c in rest:
        out.append({"n": "\n", "r": "\r", "0": "\0", "\\": "\\"}[next(rest)] if c == "\\" else c)
    return "".join(out)


def corpus():
    return [unescape(line).encode() for line in (HERE / "corpus.txt").read_bytes().decode().split("\n")[:-1]]


def fnv1a(ids):
    """The 64-bit FNV-1a hash of the ids' little-endian bytes."""
    value = 0xCBF29CE484222325
    for byte in b"".join(i.to_bytes(4, "little") for i in ids):
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


class Llama:
    def __init__(self, library, model):
        self.lib = lib = ctypes.CDLL(library)
        log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
        self.silent = log(lambda *_: None)
        lib.llama_log_set(self.silent, None)
        lib.llama_backend_init()
        self.model = self.load(model)
        lib.llama_model_get_vocab.restype = ctypes.c_void_p
        lib.llama_model_get_vocab.argtypes = [ctypes.c_void_p]
        lib.llama_tokenize.argtypes = [
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_int32,
            ctypes.c_void_p,
            ctypes.c_int32,
            ctypes.c_bool,
            ctypes.c_bool,
        ]
        self.vocab = lib.llama_model_get_vocab(self.model)

    def load(self, model):
        class Params(ctypes.Structure):
            _fields_ = [("bytes", ctypes.c_uint8 * 128)]  # large enough for the structure, which the library fills

        lib = self.lib
        lib.llama_model_default_params.restype = Params
        lib.llama_model_load_from_file.restype = ctypes.c_void_p
        lib.llama_model_load_from_file.argtypes = [ctypes.c_char_p, Params]
        handle = lib.llama_model_load_from_file(str(model).encode(), lib.llama_model_default_params())
        if not handle:
            raise SystemExit(f"llama.cpp cannot load {model}")
        return handle

    def ids(self, text, special):
        space = (ctypes.c_int32 * (len(text) + 16))()
        count = self.lib.llama_tokenize(self.vocab, text, len(text), space, len(space), special, special)
        if count < 0:
            raise SystemExit("llama_tokenize failed")
        return list(space[:count])


def program_ids(program, model, text, special):
    flags = [] if special else ["--no-bos", "--no-parse-special"]
    run = subprocess.run(
        [program, "-m", model, "--stdin", "--ids", "--log-disable", *flags],
        input=text,
        capture_output=True,
        check=True,
    )
    return ast.literal_eval(run.stdout.decode().strip().split("\n")[-1])


def our_ids(program, model, texts, special):
    given = b"".join(b"%d\n%s\n" % (len(text), text) for text in texts)
    run = subprocess.run(
        [program, str(model)] + ([] if special else ["--no-special"]), input=given, stdout=subprocess.PIPE, check=True
    )
    return [[int(i) for i in line.split()] for line in run.stdout.decode().split("\n")[:-1]]


def explain(texts, model, expected, program):
    for special in (True, False):
        wrong = 0
        for text, want, got in zip(
            texts, (pair[0 if special else 1] for pair in expected), our_ids(program, model, texts, special)
        ):
            if want != got:
                wrong += 1
                if wrong <= 8:
                    print(
                        json.dumps(text.decode(), ensure_ascii=True)[:200],
                        "\n  llama.cpp",
                        want[:24],
                        "\n  ours     ",
                        got[:24],
                    )
        print(f"{model.name} special={special}: {len(texts) - wrong} equal, {wrong} different")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--llama-tokenize", required=True, type=pathlib.Path)
    arguments.add_argument("--models", required=True, type=pathlib.Path)
    arguments.add_argument("--explain", metavar="PIPPIN_ENCODE")
    given = arguments.parse_args()
    texts = corpus()
    for name, file in MODELS.items():
        model = given.models / file
        llama = Llama(str(given.llama_tokenize.parent / "libllama.so"), model)
        expected = [(llama.ids(text, True), llama.ids(text, False)) for text in texts]
        if given.explain:
            explain(texts, model, expected, given.explain)
            continue
        # The program reads its input as a C string and drops a last newline, so not every text can be given to it.
        checkable = [i for i, text in enumerate(texts) if b"\0" not in text and not text.endswith(b"\n")]
        for i in checkable[:: len(checkable) // 15][:15]:
            for special in (True, False):
                ids = program_ids(given.llama_tokenize, model, texts[i], special)
                if ids != expected[i][0 if special else 1]:
                    raise SystemExit(f"llama-tokenize and libllama differ on {texts[i]!r}")
        lines = [f"{len(a)} {fnv1a(a):016x} {len(b)} {fnv1a(b):016x}\n" for a, b in expected]
        (HERE / "goldens").mkdir(exist_ok=True)
        (HERE / "goldens" / f"{name}.txt").write_text("".join(lines))
        print(f"{name}: {len(lines)} texts")


if __name__ == "__main__":
    main()
