"""Home-made words for which the field has a term: each file may say them as often as the exceptions allow, no more.

What counts: what comments, strings and documents say; types where they are defined, by the end of their name
(`MemoryWishes` ends in `Wishes`); names of functions and constants; in some folders the parts of every name
(`SweepRows` says `sweep`); names of files. Paths and uses of a type do not count. Words that are ordinary English, too
(unit, piece, open, join, follow, forced), cannot be told apart by a pattern and are left to the reader.
"""

import pathlib
import re

# What comments, strings and documents say: pattern, the term to say instead, a breach for the self-test.
PROSE = [
    (r"\btwins?\b", "interleaved group pair", "Weights lie as twins."),
    (r"\bpaired products?\b", "Winograd inner product", "It takes paired products."),
    (r"\bcall(?:s|ed|ing)? (?:\S+ ){0,6}into (?:its|their|the) (?:\S+ )?caches?\b", "prefetch",
     "Idle threads call the weights of the next matrix into their caches."),
    (r"\bslabs?\b", "block, or tile", "One slab at a time."),
    (r"\bstock (?:path|paths|operations?|ops)\b", "reference", "The stock path is slow."),
    (r"\bmatvecs?\b", "GEMV", "One matvec for each row."),
    (r"""(?<![/\w"'`])infills?\b(?!["'`])""", "fill-in-the-middle (FIM)", "Whether infill is known."),
    (r"(?<![/\w])wires?\b(?!/)", "API", "As the wire has it."),
    (r"\b[Tt]he house\b", "codebase", "The rules of the house."),
    (r"\brooms\b|\b[Tt]he room\b|\| room \|", "module", "Carried through all rooms."),
    (r"\bcompany\b(?!'s)", "concurrent requests", "Answers do not depend on company."),
    (r"\bconceal(?:s|ed)?\b", "encrypt", "The text is concealed."),
    (r"\b(?:openers?|closers?)\b", "start and end markers", "The opener comes first."),
    (r"\bprimed\b", "generation prefix", "The answer is primed."),
    (r"\bgatekeepers?\b", "authenticator", "Asks the gatekeeper."),
    (r"\b(?:shelf|shelves)\b", "model store", "Models on the shelf."),
    (r"\bforced tokens?\b", "jump-forward tokens", "Each of its forced tokens."),
]

# Types, by the end of their name where they are defined.
TYPES = {
    "Twins?": "interleaved group pair", "Halves": "sub-block of 16", "ActForm": "activation quantisation",
    "ActSums": "block sums", "Slab": "block, or tile", "StepKv": "attention metadata",
    "Letter": "command, or pending read-back", "Parcel": "staging buffer", "Slip": "slice", "Picks": "sampled ids",
    "ConstraintAhead": "grammar-mask prefetch", "BlockName": "block hash", "Meter": "stats", "Bell": "event",
    "Sheet": "ModelInfo", "Wishes": "Options", "Gatekeeper": "Authenticator", "Account": "quota", "Seal": "signer",
    "Shelf": "model store", "MadeModel": "derived model", "Lane": "I/O thread", "Places": "Paths",
    "Patience": "RetryPolicy", "AdvisedSampling": "generation config", "MlxForm": "quantisation parameters",
    "Signs": "detection patterns", "Beside(?:Json)?": "TokenizerConfig", "Strand": "serialised callbacks",
    "Caller": "RequestContext", "Openers?": "start markers", "Closers?": "end markers", "Infill": "FIM",
    "Divergence(?:[A-Z]\\w*)?": "batch-invariance check", "Wire[A-Z]\\w*": "API",
}

# Types that are home-made in these folders only: folder, pattern, term, a breach.
FOLDER_TYPES = [
    (("src/service/",), r"Answer\w*|\w*Answer", "Response..., Stream...", "AnswerTerms"),
    (("src/api/",), r"(?!Tool|Function|\w*ToolCall)\w*Call", "ApiRequest", "ChatCall"),
    (("src/parse/", "tests/parse/"), r"\w*Shape", "nesting state", "Shape"),
]

# Functions and constants, wherever they stand.
NAMES = {
    "kHalves": "sub-block of 16", "kPaired": "interleaved", "kPowers": "power-of-two scale",
    "kSuper32": "K-quant super-block", "kSuper16": "K-quant super-block", "kWhole": "full attention",
    "kStock": "reference", "link_products": "prefetch_next", "take_rows": "gather", "call_in": "prefetch",
    "i_add_fours": "dpbusd", "i_add_products": "dpwssd", "w_eights": "broadcast64",
    "can_run_ahead": "async scheduling", "on_silent": "on_heartbeat", "error_of_thrown": "exception mapping",
    "knows_infill": "FIM", "can_infill": "FIM",
}

# Parts of names, and words of comments and strings, in some folders: folders, words, term.
CPU = ("src/nn/cpu/", "tests/nn/cpu/", "bench/ops/")
ENGINE = ("src/engine/", "tests/engine/", "bench/engine/")
PARSE = ("src/parse/", "src/text/", "src/service/", "tests/parse/", "tests/text/", "tests/service/", "textkit/")
PARTS = [
    (CPU, "sweep sweeps slab slabs", "GEMM block, tile, task"),
    (CPU, "peak peaks", "row maximum"),
    (CPU, "partition partitions", "split-KV"),
    (CPU, "twin twins", "interleaved group pair"),
    (CPU + ("src/nn/cuda/", "tests/nn/cuda/"), "matvec matvecs", "GEMV"),
    (("src/", "bench/"), "parcel parcels slip slips", "staging buffer, slice"),
    (("src/nn/",), "picks", "sampled ids"),
    (ENGINE, "letter letters", "command"),
    (ENGINE, "meter bell bells", "stats, event"),
    (ENGINE, "company", "concurrent requests"),
    (("src/", "tests/"), "gatekeeper", "authenticator"),
    (("src/", "tests/store/", "tests/service/"), "advised", "generation config"),
    (("src/api/", "src/app/", "src/service/", "tests/service/"), "sheet sheets", "ModelInfo"),
    (("src/service/", "tests/service/"), "infill", "FIM"),
    (("src/api/", "tests/api/"), "seal seals sealed conceal conceals concealed", "signer, encrypt"),
    (("src/http/", "tests/http/"), "lane lanes", "I/O thread"),
    (("src/http/", "tests/http/"), "admission", "request checks"),
    (("src/hub/", "tests/hub/"), "patience", "RetryPolicy"),
    (PARSE, "opener openers closer closers primed", "start and end markers, generation prefix"),
]

# Calls that the parts of names cannot tell: folders, pattern, term, a breach.
CALLS = [
    (("src/", "tests/service/"), r"(?:->|\.|\bvoid |::)(ring)\(", "notify", "void f() { strand->ring(); }"),
    (("src/service/", "src/http/", "src/base/", "src/app/"), r"(?<!std::)\b(visits?)\b", "RequestContext",
     "// One visit of a key's holder."),
]

# Files: a pattern of the path, the term, a breach. A folder counts at its CMakeLists.txt.
FILES = [
    (r"(?:^|[/_])(?:twins?|halves|matvec|paired_products)[._]", "see the types", "src/nn/cpu/twin_sums.cpp"),
    (r"_body\.h$", "-inl.h", "src/nn/cpu/sum_body.h"),
    (r"/lanes\.", "SIMD reductions", "src/engine/exec/lanes.cpp"),
    (r"/thrown\.", "exception mapping", "src/engine/core/thrown.cpp"),
    (r"(?:^|[/_])(?:letter|parcel|slip|picks|bell|meter)\.", "see the types", "src/engine/bell.cpp"),
    (r"(?:^|[/_])(?:constraint_ahead|block_name)(?:_test)?\.", "see the types", "src/engine/exec/constraint_ahead.h"),
    (r"[/_]divergence(?:_\w+)?\.", "batch-invariance check", "src/engine/core/divergence.cpp"),
    (r"(?:^|[/_])(?:strand|caller|gatekeeper|key_account|\w*wishes|model_sheet)(?:_test)?\.", "see the types",
     "src/service/strand.cpp"),
    (r"^(?:src|tests)/service/(?:\w+/)?answer\w*\.", "response, stream", "src/service/chat/answer_terms.cpp"),
    (r"^(?:src|tests)/service/(?:\w+/)?infill\w*\.", "FIM", "src/service/chat/infill.cpp"),
    (r"(?:^|[/_])(?:shelf|seal|made_models?)(?:_test)?\.", "model store, signer, derived model",
     "src/app/hub_shelf.cpp"),
    (r"^src/api/(?:\w+/)*(?:\w+_)?call\.", "request", "src/api/ollama/read_call.cpp"),
    (r"(?:^|/)wire/CMakeLists\.txt$", "API", "src/api/wire/CMakeLists.txt"),
    (r"^src/http/(?:admission|lane)\.", "request checks, I/O thread", "src/http/admission.cpp"),
    (r"^src/hub/(?:places|patience)\.", "paths, retry policy", "src/hub/patience.cpp"),
    (r"/advised_sampling\.|/mlx_form\.", "generation config, quantisation parameters", "src/store/mlx_form.cpp"),
]

PROSE_PATTERNS = [(re.compile(pattern), term) for pattern, term, _ in PROSE]
DEFINES = r"\b(?:class|struct|union|enum(?: class)?|using|concept|trait)\s+"
BODY = r"(?=[\s:=<({]|$)"  # not `class Lane;`, which only declares it
TYPE_PATTERNS = [((), re.compile(DEFINES + rf"(\w*{end})" + BODY), term) for end, term in TYPES.items()]
TYPE_PATTERNS += [(folders, re.compile(DEFINES + f"({pattern})" + BODY), term)
                  for folders, pattern, term, _ in FOLDER_TYPES]
NAME_PATTERN = re.compile(r"\b(" + "|".join(NAMES) + r")\b")
CALL_PATTERNS = [(folders, re.compile(pattern), term) for folders, pattern, term, _ in CALLS]
FILE_PATTERNS = [(re.compile(pattern), term) for pattern, term, _ in FILES]
PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
SAID = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
INCLUDE = re.compile(r"^\s*#\s*include[^\n]*", re.MULTILINE)
# Texts for models, which are data.
SPARED = ("src/app/doctor_prompts.cpp",)
COMPILED = {".h", ".cpp", ".cu", ".metal", ".rs"}
KINDS = COMPILED | {".py", ".sh", ".cmake", ".md"}


def parts_of(path):
    """Returns word -> term of the parts of names that are home-made in the file's folder."""
    return {word: term for folders, listed, term in PARTS if path.startswith(folders) for word in listed.split()}


def found_in(path, text, kind):
    """Yields (offset, word, term) of each home-made word in a file's text."""
    said = [(0, text)]
    taken = set()  # what a pattern of prose has found is not counted as a part of a name, too
    if kind in COMPILED:
        text = INCLUDE.sub(lambda match: " " * len(match.group()), text)
        said = [(match.start(), match.group()) for match in SAID.finditer(text)]
        for folders, pattern, term in TYPE_PATTERNS + [((), NAME_PATTERN, NAMES)] + CALL_PATTERNS:
            if path.startswith(folders or ""):
                for match in pattern.finditer(text):
                    taken |= set(range(*match.span(1)))
                    yield match.start(1), match.group(1), term if isinstance(term, str) else term[match.group(1)]
    for start, part in said:
        for pattern, term in PROSE_PATTERNS:
            for match in pattern.finditer(part):
                taken |= set(range(start + match.start(), start + match.end()))
                yield start + match.start(), match.group(), term
    words = parts_of(path)
    for match in PART.finditer(text) if words else ():
        word = match.group().lower()
        if word in words and match.start() not in taken:
            yield match.start(), match.group(), words[word]


def check_said(tree, path, kind, text):
    """Notes how often a file says home-made words; more often than the exceptions allow is a breach."""
    own = path.startswith("tools/tidy_rules/") or pathlib.PurePosixPath(path).name == "tidy"
    if kind not in KINDS or own or path in SPARED:
        return
    found = [(0, path, term) for pattern, term in FILE_PATTERNS if pattern.search(path)]
    found += sorted(found_in(path, text, kind))
    if found:
        lines = [f"{text.count(chr(10), 0, at) + 1}: {' '.join(word.split())} (say {term})" for at, word, term in found]
        tree.count("words", path, int(lines[0].split(":")[0]), len(found), 0,
                   "home-made words: " + ", ".join(lines[:8]) + (", ..." if len(lines) > 8 else ""))


def planted():
    """Returns path -> text of one breach for each word above, for tools/tidy --self-test."""
    files = {f"docs/prose_{i}.md": text + "\n" for i, (_, _, text) in enumerate(PROSE)}
    for i, end in enumerate(TYPES):
        name = re.sub(r"\(.*\)|\?", "", end).replace("[A-Z]\\w*", "Form")
        files[f"src/base/type_{i}.cpp"] = f"struct My{name} {{}};\n"
    files |= {f"{folders[0]}type_{i}.cpp": f"struct {name} {{}};\n"
              for i, (folders, _, _, name) in enumerate(FOLDER_TYPES)}
    files |= {f"src/models/name_{i}.cpp": f"int x = {name};\n" for i, name in enumerate(NAMES)}
    for i, (folders, listed, _) in enumerate(PARTS):
        for folder in ("src/base/" if folder == "src/" else folder for folder in folders):
            for word in listed.split():
                files[f"{folder}part_{i}_{word[:-1]}x.cpp"] = f"int the_{word}_of;\nint a{word.title()}B;\n"
    files |= {f"{folders[-1]}calls_{i}.cpp": text + "\n" for i, (folders, _, _, text) in enumerate(CALLS)}
    return files | {path: ("" if path.endswith(".txt") else "// What it is.\n#pragma once\n") for _, _, path in FILES}


# What must not be found.
CLEAN = {
    "src/api/uses.cpp": '#include "api/wire/form.h"\nvoid f(const Bell& bell, ModelShelf* shelf, Caller& caller);\n',
    "src/api/tools.cpp": "struct ToolCall {};\nstruct PastToolCall {};\n",
    "src/service/visits.cpp": "void f() { std::visit(a, b); }\nint ringing(int speaking);\n",
    "src/base/planes.h": "// A company's mirror.\n#pragma once\nstruct Plane {};\nstruct Parameter {};\n"
                         "int lanes(int peak);\nclass Caller;\n",
}
