"""Home-made words for which the field has a term: each file may say them as often as the exceptions allow, no more.

Words that are ordinary English, too (unit, piece, peak, open, join, follow, forced), cannot be told apart by a pattern
and are left to the reader. Paths do not count, nor do uses of a type: its definition does.
"""

import pathlib
import re

# Patterns of what comments, strings and documents say, and the term to say instead.
PROSE = [
    (r"\btwins?\b", "interleaved group pair"),
    (r"\bpaired products?\b", "Winograd inner product"),
    (r"\bcall(?:s|ed|ing)? (?:\S+ ){0,6}into (?:its|their|the) (?:\S+ )?caches?\b", "prefetch"),
    (r"\bslabs?\b", "block, or tile"),
    (r"\bstock (?:path|paths|operations?|ops)\b", "reference"),
    (r"\bmatvecs?\b", "GEMV"),
    (r"""(?<![/\w"'`])infills?\b(?!["'`])""", "fill-in-the-middle (FIM)"),
    (r"(?<![/\w])wires?\b(?!/)", "API"),
    (r"\b[Tt]he house\b", "codebase"),
    (r"\brooms\b|\b[Tt]he room\b|\| room \|", "module"),
    (r"\bin company\b|\bkeep company\b", "concurrent requests"),
    (r"\bconceal(?:s|ed)?\b", "encrypt"),
    (r"\b(?:openers?|closers?)\b", "start and end markers"),
    (r"\bprimed\b", "generation prefix"),
]

# Types, by their definition.
TYPES = {
    "ActTwin": "interleaved group pair", "ActHalves": "sub-block of 16", "ActForm": "activation quantisation",
    "ActSums": "block sums", "StepKv": "attention metadata", "Letter": "command, or pending read-back",
    "Parcel": "staging buffer", "Slip": "slice", "Picks": "sampled ids", "ConstraintAhead": "grammar-mask prefetch",
    "BlockName": "block hash", "Meter": "stats", "Bell": "event", "ModelSheet": "ModelInfo", "Wishes": "Options",
    "Gatekeeper": "Authenticator", "KeyAccount": "quota", "Seal": "signer", "Shelf": "model store",
    "MadeModel": "derived model", "Lane": "I/O thread", "Places": "Paths", "Patience": "RetryPolicy",
    "AdvisedSampling": "generation config", "MlxForm": "quantisation parameters", "Signs": "detection patterns",
    "Beside": "TokenizerConfig",
}

# Functions and constants, wherever they stand.
NAMES = {
    "kHalves": "sub-block of 16", "kPaired": "interleaved", "kPowers": "power-of-two scale",
    "kSuper32": "K-quant super-block", "kSuper16": "K-quant super-block", "kWhole": "full attention",
    "kStock": "reference", "link_products": "prefetch_next", "take_rows": "gather", "call_in": "prefetch",
    "i_add_fours": "dpbusd", "i_add_products": "dpwssd", "w_eights": "broadcast64",
    "can_run_ahead": "async scheduling", "on_silent": "on_heartbeat",
}

PROSE_PATTERNS = [(re.compile(pattern), term) for pattern, term in PROSE]
DEFINES = r"\b(?:class|struct|union|enum(?: class)?|using|concept|trait)\s+"
TYPE_PATTERN = re.compile(DEFINES + "(" + "|".join(TYPES) + r")\b")
NAME_PATTERN = re.compile(r"\b(" + "|".join(NAMES) + r")\b")
SAID = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
INCLUDE = re.compile(r"^\s*#\s*include[^\n]*", re.MULTILINE)
COMPILED = {".h", ".cpp", ".cu", ".metal", ".rs"}
KINDS = COMPILED | {".py", ".sh", ".cmake", ".md"}


def found_in(text, kind):
    """Yields (offset, word, term) of each home-made word in a file's text."""
    said = [(0, text)]
    if kind in COMPILED:
        text = INCLUDE.sub(lambda match: " " * len(match.group()), text)
        said = [(match.start(), match.group()) for match in SAID.finditer(text)]
        for pattern, terms in ((TYPE_PATTERN, TYPES), (NAME_PATTERN, NAMES)):
            yield from ((match.start(), match.group(1), terms[match.group(1)]) for match in pattern.finditer(text))
    for start, part in said:
        for pattern, term in PROSE_PATTERNS:
            yield from ((start + match.start(), match.group(), term) for match in pattern.finditer(part))


def check_said(tree, path, kind, text):
    """Notes how often a file says home-made words; more often than the exceptions allow is a breach."""
    if kind not in KINDS or path.startswith("tools/tidy_rules/") or pathlib.PurePosixPath(path).name == "tidy":
        return
    found = sorted(found_in(text, kind))
    if found:
        lines = [f"{text.count(chr(10), 0, at) + 1}: {' '.join(word.split())} (say {term})" for at, word, term in found]
        tree.count("words", path, int(lines[0].split(":")[0]), len(found), 0,
                   "home-made words: " + ", ".join(lines[:8]) + (", ..." if len(lines) > 8 else ""))
