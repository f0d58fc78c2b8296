"""What README.md and docs/ name exists: links and their anchors, files, routes, commands and their flags, dialects."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import program

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
ROUTES = {(method.upper(), re.sub(r"\{[^}]*\}", "{}", path))
          for path, methods in json.loads((ROOT / "docs/openapi.json").read_text())["paths"].items()
          for method in methods}
ABSENT = {("POST", "/props")}  # docs/llama-server.md says that it is not there
ROUTE = re.compile(r"`(GET|POST|PUT|DELETE|HEAD) (/[\w/{}-]*)`")
FILE = re.compile(r"`((?:src|tests|bench|tools|scripts|textkit|third_party)/[\w./*-]*[\w*])")
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:^|`)(?:build/release/)?(pippin [^`\n#]+)", re.MULTILINE)
BLOCK = re.compile(r"```.*?```", re.DOTALL)


def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8")


def anchors(text):
    """Returns the anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(path, text):
    for target in LINK.findall(text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (ROOT / path).parent / name if name else ROOT / path
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            yield target


def missing_files(text):
    return [name for name in FILE.findall(text) if not list(ROOT.glob(name))]


def missing_modules(text):
    """Returns what ARCHITECTURE.md names below src/ or the root and is not there; NAME and <API> stand for anything."""
    names = re.findall(r"`((?:[\w<>]+/)+[\w.*<>-]*)`", text)
    patterns = {name: re.sub(r"NAME|<API>", "*", name).rstrip("/") for name in names}
    return [name for name, pattern in patterns.items()
            if not any(list(base.glob(pattern + end)) for base in (ROOT / "src", ROOT) for end in ("", ".*"))]


def missing_routes(text):
    found = {(method, re.sub(r"\{[^}]*\}", "{}", path)) for method, path in ROUTE.findall(text)}
    known = ROUTES | ABSENT | {("HEAD", path) for method, path in ROUTES if method == "GET"}
    return sorted(found - known)


def commands(text):
    """Returns (command, flags) of each `pippin COMMAND ...` in code, in blocks and in lines."""
    code = "\n".join(BLOCK.findall(text)) + "\n" + BLOCK.sub("", "\n".join(re.findall(r"`[^`\n]+`", text)))
    for line in COMMAND.findall(code):
        try:
            words = shlex.split(line)
        except ValueError:
            words = line.split()
        if len(words) > 1 and re.fullmatch(r"[a-z]+", words[1]):
            # What `launch` gives to a client is the client's.
            end = next((i for i, word in enumerate(words) if i > 2 and words[1] == "launch" and
                        not words[i - 1].startswith("--")), len(words))
            yield words[1], [word.split("=")[0] for word in words[2:end] if word.startswith("--")]


def unknown_commands(text, helps):
    for verb, flags in commands(text):
        if verb not in helps:
            shown = subprocess.run([program.program_path(), verb, "--help"], capture_output=True, text=True, timeout=30)
            helps[verb] = shown.stdout if shown.stdout.startswith(f"pippin {verb}") else None
        if helps[verb] is None:
            yield f"pippin {verb}"
        else:
            known = helps[verb] + " --help"
            yield from (f"pippin {verb} {flag}" for flag in flags if not re.search(flag + r"\b", known))


@pytest.fixture(scope="module")
def helps(built):
    return {}


@pytest.mark.parametrize("path", DOCUMENTS)
def test_what_a_document_names_exists(path, helps):
    text = text_of(path)
    assert list(broken_links(path, text)) == []
    assert missing_files(text) == []
    assert missing_routes(text) == []
    assert list(unknown_commands(text, helps)) == []


def test_what_the_architecture_names_exists():
    text = text_of("ARCHITECTURE.md")
    assert missing_modules(text) == []
    assert list(broken_links("ARCHITECTURE.md", text)) == []
    assert missing_modules("`engine/meter.cpp` `service/nothing` `api/routes` `parse/tool/` `nn/ops/NAME.h` `nn/NAME.x`"
                           ) == ["engine/meter.cpp", "service/nothing", "nn/NAME.x"]


def test_what_does_not_exist_is_found(helps):
    text = ("[a](docs/nothing.md) [b](docs/kernels.md#nothing) [c](docs/kernels.md#avx2) `src/nothing.cpp` "
            "`src/*/isa.cpp` `GET /v1/nothing` `POST /v1/messages` `pippin serve --prot 1`\n```\npippin sreve MODEL\n"
            "pippin list --json\npippin launch claude --model opus\n```\n")
    assert list(broken_links("README.md", text)) == ["docs/nothing.md", "docs/kernels.md#nothing"]
    assert missing_files(text) == ["src/nothing.cpp", "src/*/isa.cpp"]
    assert missing_routes(text) == [("GET", "/v1/nothing")]
    assert sorted(unknown_commands(text, helps)) == ["pippin serve --prot", "pippin sreve"]


@pytest.mark.parametrize("folder, begins, ends", [("tool", "`none` turns it off. Dialects", "\n## "),
                                                  ("reasoning", "`none` turns that off. Dialects", "\n## ")])
def test_docs_name_every_dialect(folder, begins, ends):
    listed = text_of("docs/openai.md").split(begins)[1].split(ends)[0]
    source = "".join(path.read_text() for path in sorted((ROOT / "src/parse" / folder).glob("*.cpp")))
    names = set(re.findall(r'\.name = "([^"]+)"', source))
    for aliases in re.findall(r"\.aliases = \{([^}]*)\}", source):
        names |= set(re.findall(r'"([^"]+)"', aliases))
    assert len(names) > 20
    assert set(re.findall(r"`([^`]+)`", listed)) == names
