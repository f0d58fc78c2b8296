#!/usr/bin/env python3
"""Compares perplexities with llama.cpp's, of one model in each quantised type of ggml.

    pip install xllamacpp==2026.10.11549 gguf==0.19.0 numpy
    python3 tests/models/compare_types.py MODEL.gguf PIPPIN_PERPLEXITY [--chunks N] [TYPE ...]

MODEL may be quantised itself. Its matrices are widened and quantised by ggml's own functions; those whose rows are not
whole blocks become Q8_0. llama.cpp is the library inside xllamacpp, called by its C interface. Protocol: README.md,
with N chunks. All importances are one, so that models of the smallest types are poor, and both programs' rounding of
activations shows. "exact" is the perplexity without that. Fails where ours is off from both llama.cpp's and from that
by more than 0.5 %, and from that by more than llama.cpp's is.
"""

import argparse
import ctypes
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import xllamacpp.xllamacpp

TYPES = ("Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S IQ4_NL "
         "IQ4_XS MXFP4 NVFP4").split()
TEXT = pathlib.Path(__file__).parent / "perplexity.txt"
CHUNK, SCORED_FROM = 512, 256
DIFFERENCE_MAX = 0.005
library = ctypes.CDLL(xllamacpp.xllamacpp.__file__)


class Params(ctypes.Structure):
    """More than any of llama.cpp's structures of parameters: they are passed through as they come."""

    _fields_ = [("bytes", ctypes.c_uint8 * 1024)]


class Batch(ctypes.Structure):
    """llama_batch."""

    _fields_ = [("count", ctypes.c_int32), ("tokens", ctypes.POINTER(ctypes.c_int32)), ("embeddings", ctypes.c_void_p),
                ("positions", ctypes.POINTER(ctypes.c_int32)), ("sequence_counts", ctypes.POINTER(ctypes.c_int32)),
                ("sequences", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
                ("wanted", ctypes.POINTER(ctypes.c_int8))]


def function(name: str, result: object, *arguments: object):
    found = getattr(library, name)
    found.restype, found.argtypes = result, arguments
    return found


POINTER, INT = ctypes.c_void_p, ctypes.c_int32
quantize = function("ggml_quantize_chunk", ctypes.c_size_t, INT, POINTER, POINTER, *[ctypes.c_int64] * 3, POINTER)
load = function("llama_model_load_from_file", POINTER, ctypes.c_char_p, Params)
load_params = function("llama_model_default_params", Params)
make_context = function("llama_init_from_model", POINTER, POINTER, Params)
context_params = function("llama_context_default_params", Params)
vocabulary = function("llama_model_get_vocab", POINTER, POINTER)
vocabulary_size = function("llama_vocab_n_tokens", INT, POINTER)
adds_bos = function("llama_vocab_get_add_bos", ctypes.c_bool, POINTER)
bos_of = function("llama_vocab_bos", INT, POINTER)
tokenize = function("llama_tokenize", INT, POINTER, ctypes.c_char_p, INT, POINTER, INT, ctypes.c_bool, ctypes.c_bool)
make_batch = function("llama_batch_init", Batch, INT, INT, INT)
decode = function("llama_decode", INT, POINTER, Batch)
logits_of = function("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float), POINTER, INT)
memory_of = function("llama_get_memory", POINTER, POINTER)
clear = function("llama_memory_clear", None, POINTER, ctypes.c_bool)
set_threads = function("llama_set_n_threads", None, POINTER, INT, INT)
free_context = function("llama_free", None, POINTER)
free_model = function("llama_model_free", None, POINTER)
set_log = function("llama_log_set", None, POINTER, POINTER)
SILENT = ctypes.CFUNCTYPE(None, INT, ctypes.c_char_p, POINTER)(lambda *_: None)


def quantised(values: np.ndarray, kind: gguf.GGMLQuantizationType) -> tuple[np.ndarray, gguf.GGMLQuantizationType]:
    """The rows as ggml quantises them, each column of the same importance."""
    if values.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] != 0:
        kind = gguf.GGMLQuantizationType.Q8_0
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    rows, columns = values.shape
    values = np.ascontiguousarray(values, dtype=np.float32)
    out = np.zeros((rows, columns // elements * size), dtype=np.uint8)
    even = np.ones(columns, dtype=np.float32)
    quantize(int(kind), values.ctypes.data, out.ctypes.data, 0, rows, columns, even.ctypes.data)
    return out, kind


def write(source: gguf.GGUFReader, kind: str, path: pathlib.Path) -> None:
    architecture = source.get_field("general.architecture").contents()
    writer = gguf.GGUFWriter(path, architecture)
    for key, field in source.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            element = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type=element)
    for tensor in source.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if values.ndim == 2:
            codes, used = quantised(values, gguf.GGMLQuantizationType[kind])
            writer.add_tensor(tensor.name, codes, raw_dtype=used)
        else:
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tokens_of(vocab: int, chunks: int) -> np.ndarray:
    text = TEXT.read_bytes().removesuffix(b"\n")
    tokens = np.zeros(len(text) + 8, dtype=np.int32)
    count = tokenize(vocab, text, len(text), tokens.ctypes.data, len(tokens), True, False)
    return tokens[:min(count // CHUNK, chunks) * CHUNK].reshape(-1, CHUNK)


def theirs(path: pathlib.Path, chunks: int) -> float:
    model = load(str(path).encode(), load_params())
    context = make_context(model, context_params())  # 512 tokens
    set_threads(context, 2, 2)
    vocab = vocabulary(model)
    size, batch, losses = vocabulary_size(vocab), make_batch(CHUNK, 0, 1), []
    batch.count = CHUNK
    for chunk in tokens_of(vocab, chunks):
        clear(memory_of(context), True)
        for i, token in enumerate(chunk):
            batch.tokens[i] = bos_of(vocab) if i == 0 and adds_bos(vocab) else int(token)
            batch.positions[i], batch.sequence_counts[i], batch.sequences[i][0] = i, 1, 0
            batch.wanted[i] = i >= SCORED_FROM
        if decode(context, batch) != 0:
            raise RuntimeError(f"{path}: llama_decode failed")
        for i in range(SCORED_FROM, CHUNK - 1):
            logits = np.ctypeslib.as_array(logits_of(context, i), (size,)).astype(np.float64)
            losses.append(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[chunk[i + 1]])
    free_context(context)
    free_model(model)
    return float(np.exp(np.mean(losses)))


def ours(program: str, path: pathlib.Path, chunks: int, ops: str) -> float:
    command = [program, path, TEXT, "--chunks", str(chunks), "--ops", ops]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["perplexity"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("program")
    parser.add_argument("types", nargs="*")
    parser.add_argument("--chunks", type=int, default=8)
    args = parser.parse_args()
    set_log(SILENT, None)
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        for kind in args.types or [*TYPES, "AS_IS"]:
            path = args.model
            if kind != "AS_IS":
                path = pathlib.Path(scratch, f"{kind}.gguf")
                write(gguf.GGUFReader(args.model), kind, path)
            peer = theirs(path, args.chunks)
            own, exact = (ours(args.program, path, args.chunks, ops) for ops in ("fast", "exact"))
            off = abs(own / exact - 1)
            if min(abs(own / peer - 1), off) > DIFFERENCE_MAX and off > abs(peer / exact - 1):
                wrong.append(kind)
            difference = f"{100 * (own / peer - 1):+.2f} %"
            print(f"{kind:8} llama.cpp {peer:.4f}  pippin {own:.4f} {difference}  exact {exact:.4f}", flush=True)
    if wrong:
        sys.exit(f"further off than llama.cpp: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
