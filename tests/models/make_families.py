#!/usr/bin/env python3
"""Writes fixtures/families/NAME: a tiny random model of each family, and the logits that transformers computes.

    pip install torch==2.8.0 transformers==5.23.0 accelerate
    python3 tests/models/make_families.py [--peer LLAMA_CPP] [NAME ...]

Each folder has config.json and model.safetensors as transformers saves them (weights that bf16 holds exactly, in bf16),
expected.safetensors (`tokens` [T] int32, `logits` [T, V] f32: f32 arithmetic, eager attention), and, where llama.cpp's
converter in the source tree LLAMA_CPP knows the family, model.gguf as it writes it, with a small ASCII vocabulary in
place of the model's own. The models are functions in tests/models/families/*.py. The seed is the name's, or the
function's.
"""

import argparse
import importlib
import json
import math
import pathlib
import pkgutil
import shutil
import sys
import zlib

import numpy as np
import safetensors.torch
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import families  # noqa: E402
from families.shapes import VOCAB  # noqa: E402

FOLDER = pathlib.Path(__file__).parent / "fixtures" / "families"
TOKENS = 40
BIGRAMS = """t h,h e,i n,e r,a n,r e,o n,a t,e n,n d,t i,e s,o r,t e,o f,e d,i s,i t,a l,a r,s t,t o,
n t,n g,s e,h a,a s,o u,i o,l e,v e,c o,m e,d e,h i,r i,r o,i c,n e,e a,r a,c e,l i,c h,
l l,b e,m a,s i,o m,u r,Ġ t,Ġ a,Ġ s,Ġ w,Ġ o,Ġ c,Ġ b,Ġ p,Ġ m,Ġ f,Ġt he,in g""".replace("\n", "").split(",")
CHAT_TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


def all_families() -> dict:
    found = {}
    for module in pkgutil.iter_modules(families.__path__):
        found |= getattr(importlib.import_module(f"families.{module.name}"), "FAMILIES", {})
    return found


def values_for(name: str, weight: torch.Tensor, generator: torch.Generator, offset_norms: bool) -> torch.Tensor:
    """Sizes that keep activations near one, so that every part of the model shows in the logits."""
    values = torch.randn(weight.shape, generator=generator)
    last = name.rsplit(".", 2)
    if name.endswith("A_log"):
        return torch.log(1 + 3 * torch.rand(weight.shape, generator=generator))
    if name.endswith("dt_bias"):
        return 0.5 * values
    if name.endswith(".D"):
        return 1 + 0.3 * values
    if "altup" in name and "coefs" in name:
        return 0.2 * values
    if name.endswith(("layer_scalar", "correct_output_scale", "router.scale", "per_expert_scale")):
        return 1 + 0.3 * values
    if name.endswith(("bias", "sinks")) or "correction_bias" in name:
        return 0.3 * values
    if weight.dim() == 1 or "norm" in last[-2].lower() or last[-2].endswith("ln_f"):
        return 0.2 * values + (0.0 if offset_norms else 1.0)
    # The last dimension is what a product sums over, but for experts that transformers keeps transposed.
    fan_in = math.prod(weight.shape[1:]) if "conv" in name else weight.shape[-1]
    return values / math.sqrt(fan_in)


def randomize(model: torch.nn.Module, seed: int, offset_norms: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    named = dict(model.named_parameters())
    named |= {k: v for k, v in model.named_buffers() if k.endswith(("correction_bias", "expert_bias", "layer_scalar"))}
    with torch.no_grad():
        for name in sorted(named):
            weight = named[name]
            weight.data.copy_(values_for(name, weight, generator, offset_norms).to(torch.bfloat16).float())


def compute(model, tokens: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits = model(torch.from_numpy(tokens.astype(np.int64))[None], use_cache=False).logits[0].float().numpy()
    assert logits.shape == (len(tokens), VOCAB) and np.isfinite(logits).all()
    return logits


def make(name: str, peer: pathlib.Path | None) -> None:
    made = all_families()[name]()
    # A function returns the model, or (model, options): offset_norms where 1 is added to the weights of norms;
    # adjust, a function of the model, changes its weights; further, a function of the model's tensors, gives others
    # that its files hold beside them, or None for those that they do not; config, fields that config.json says
    # otherwise than transformers writes them; peer, attributes of the peer's converter; seed, where the name's makes
    # a model that check, a function of the model and its tokens, refuses.
    model, options = made if isinstance(made, tuple) else (made, {})
    seed = options.get("seed", zlib.crc32(name.encode()))
    model = model.eval().float()
    model.set_attn_implementation("eager")
    randomize(model, seed, options.get("offset_norms", False))
    options.get("adjust", lambda _: None)(model)
    tokens = np.random.default_rng(seed).integers(2, VOCAB, TOKENS, dtype=np.int32)
    options.get("check", lambda *_: None)(model, tokens)
    logits = compute(model, tokens)

    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    own = options.get("config", {})  # None: the field is left out
    config = {k: v for k, v in json.loads((folder / "config.json").read_text()).items() if own.get(k, 0) is not None}
    config |= {k: v for k, v in own.items() if v is not None}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if further := options.get("further"):
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        tensors = {k: v.contiguous().clone() for k, v in (tensors | further(tensors)).items() if v is not None}
        safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    for other in folder.glob("*.json"):
        if other.name != "config.json":
            other.unlink()
    save_file({"tokens": tokens, "logits": logits}, folder / "expected.safetensors")
    note = convert(folder, peer, options) if peer and options.get("gguf", True) else "no GGUF"
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name}: {size} bytes, logits from {logits.min():.2f} to {logits.max():.2f}; {note}", flush=True)


def vocabulary() -> list[str]:
    return (["<s>", "</s>"] + [chr(c) for c in range(33, 127)] + ["Ġ", "Ċ"] + [b.replace(" ", "") for b in BIGRAMS])


def write_tokenizer(path: pathlib.Path) -> None:
    merges = [tuple(pair.split(" ")) for pair in BIGRAMS]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(vocabulary())}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(path))


def convert(folder: pathlib.Path, peer: pathlib.Path, options: dict) -> str:
    """Has llama.cpp's own converter write model.gguf; the vocabulary alone is ours."""
    sys.path[:0] = [str(peer), str(peer / "gguf-py")]
    import conversion
    import gguf
    hparams = conversion.ModelBase.load_hparams(folder, False)
    try:
        kind = conversion.get_model_class(conversion.get_model_architecture(hparams, conversion.ModelType.TEXT))
    except NotImplementedError as error:
        return f"no GGUF: {error}"

    def set_vocab(self) -> None:
        writer = self.gguf_writer
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(vocabulary())
        writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (VOCAB - 2))
        writer.add_token_merges(BIGRAMS)
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(1)
        writer.add_add_bos_token(False)
        writer.add_chat_template(CHAT_TEMPLATE)

    write_tokenizer(folder / "tokenizer.json")  # some of its classes look for one
    kind.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
    conversion.TextModel.get_vocab_base_pre = kind.get_vocab_base_pre
    with torch.inference_mode():
        tiny = type(kind.__name__, (kind,), {"set_vocab": set_vocab, "model_arch": kind.model_arch}
                    | options.get("peer", {}))
        # It asks transformers to read config.json, which adds fields; but not where a model says them itself.
        more = {"hparams": json.loads((folder / "config.json").read_text())} if "config" in options else {}
        tiny(folder, gguf.LlamaFileType.MOSTLY_BF16, folder / "model.gguf", model_name=folder.name, eager=True,
             **more).write()
    (folder / "tokenizer.json").unlink()
    return "GGUF"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=pathlib.Path, help="source tree of llama.cpp, for its converter")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.names or all_families():
        make(name, arguments.peer)


if __name__ == "__main__":
    main()
