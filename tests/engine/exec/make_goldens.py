#!/usr/bin/env python3
"""Writes goldens_transformers.json: what is left of fixed logits after the processors of Hugging Face transformers.

    python3 -m venv /tmp/goldens && /tmp/goldens/bin/pip install torch transformers
    /tmp/goldens/bin/python tests/engine/exec/make_goldens.py

Every case names its options by the field names of engine::SamplingParams. The processors are applied in pippin's order
(docs/sampling.md). Values are made by a small integer generator, so that nothing depends on a library's random numbers.
"""

import json
import pathlib

import torch
import transformers
from transformers.generation import logits_process as hf

PROMPT = [3, 17, 17, 40, 8]
GENERATED = [5, 8, 5, 61]


def row(seed: int, size: int, spread: float) -> torch.Tensor:
    """Roughly normal values, multiples of 1/64, without ties."""
    state, values = seed, set()
    out = []
    while len(out) < size:
        total = 0
        for _ in range(4):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            total += state >> 40
        value = round((total / 2**24 - 2) * spread * 64 * 1.7) / 64
        while value in values:
            value += 1 / 64
        values.add(value)
        out.append(value)
    return torch.tensor([out], dtype=torch.float32)


def processors(options: dict) -> list:
    """pippin's order: biases, repetition penalty, top_k, typical_p, top_p, min_p, temperature."""
    chain = []
    if options.get("banned_tokens"):
        chain.append(hf.SuppressTokensLogitsProcessor(options["banned_tokens"]))
    if options.get("logit_bias"):
        biases = [[[token], bias] for token, bias in options["logit_bias"]]
        chain.append(hf.SequenceBiasLogitsProcessor(biases))
    if "repetition_penalty" in options:
        chain.append(hf.RepetitionPenaltyLogitsProcessor(options["repetition_penalty"]))
    if "min_tokens" in options:
        chain.append(hf.MinNewTokensLengthLogitsProcessor(
            len(PROMPT), options["min_tokens"], torch.tensor(options["stop_tokens"])))
    if "top_k" in options:
        chain.append(hf.TopKLogitsWarper(options["top_k"]))
    if "typical_p" in options:
        chain.append(hf.TypicalLogitsWarper(options["typical_p"]))
    if "top_p" in options:
        chain.append(hf.TopPLogitsWarper(options["top_p"]))
    if "min_p" in options:
        chain.append(hf.MinPLogitsWarper(options["min_p"]))
    if "temperature" in options:
        chain.append(hf.TemperatureLogitsWarper(options["temperature"]))
    return chain


OPTIONS = [
    {},
    {"temperature": 0.7},
    {"temperature": 1.9},
    {"top_k": 1},
    {"top_k": 7},
    {"top_k": 60},
    {"top_p": 0.1},
    {"top_p": 0.5},
    {"top_p": 0.93},
    {"min_p": 0.05},
    {"min_p": 0.6},
    {"typical_p": 0.2},
    {"typical_p": 0.6},
    {"typical_p": 0.95},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.8},
    {"banned_tokens": [0, 9, 33]},
    {"logit_bias": [[2, 4.0], [5, -3.0], [61, 1.5]]},
    {"min_tokens": 10, "stop_tokens": [4, 5]},
    {"min_tokens": 4, "stop_tokens": [4, 5]},
    {"temperature": 0.8, "top_k": 20, "top_p": 0.9},
    {"temperature": 1.5, "top_k": 30, "top_p": 0.95, "min_p": 0.02, "repetition_penalty": 1.1},
    {"temperature": 0.6, "top_k": 40, "typical_p": 0.8, "top_p": 0.9},
    {"temperature": 1.2, "top_p": 0.8, "min_p": 0.1, "logit_bias": [[7, 6.0]]},
]


ROWS = [row(seed, size, spread) for seed, size, spread in [(1, 64, 1.0), (2, 64, 3.0), (3, 300, 2.5)]]


def main() -> None:
    inputs = torch.tensor([PROMPT + GENERATED])
    cases = []
    for index, logits in enumerate(ROWS):
        for options in OPTIONS:
            scores = logits.clone()
            for processor in processors(options):
                scores = processor(inputs, scores)
            probabilities = torch.softmax(scores.double(), dim=-1)[0]
            left = [[token, float(f"{p:.7g}")] for token, p in enumerate(probabilities.tolist()) if p > 0]
            cases.append({"row": index, "options": options, "left": left})
    data = {
        "made_by": f"transformers {transformers.__version__}",
        "prompt": PROMPT,
        "generated": GENERATED,
        "rows": [logits[0].tolist() for logits in ROWS],
        "cases": cases,
    }
    path = pathlib.Path(__file__).with_name("goldens_transformers.json")
    path.write_text(json.dumps(data, separators=(",", ":")).replace('{"row"', '\n{"row"') + "\n")
    print(path.name, len(cases), "cases", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
