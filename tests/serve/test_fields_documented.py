"""docs/openai.md and its neighbours name every field that the OpenAI API reads, and no other. Needs no server."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["openai", "openai-responses", "sampling", "structured-output"]
# How a FieldReader is asked for a field, rows of tables of fields, and lists of names that share a reader.
READS = [r"\.\s*(?:required_)?(?:string|boolean|integer|number|object|array|word|any|text)\(\s*\"(\w+)\"",
         r"\{\"(\w+)\", (?:read_|-?[\d.]+,)"]
LISTS = r"for \(const char\* \w+ :\s*\{([^}]*)\}"
# Read, and told of in words.
TOLD = {"client_metadata"}


def sources():
    files = [*(ROOT / "src/api/openai").rglob("*.cpp"), ROOT / "src/api/shared/sampling.cpp"]
    return {file.name: file.read_text() for file in files}


def fields_read():
    found = {}
    for name, text in sources().items():
        fields = [field for pattern in READS for field in re.findall(pattern, text)]
        fields += [field for names in re.findall(LISTS, text) for field in re.findall(r'"(\w+)"', names)]
        found |= {field: name for field in fields}
    return found


def test_every_field_that_is_read_is_documented():
    words = {word for page in PAGES for word in re.findall(r"\w+", (ROOT / f"docs/{page}.md").read_text())}
    read = fields_read()
    assert len(read) > 120
    assert {field: file for field, file in read.items() if field not in words} == {}


def test_every_documented_field_is_read():
    code = "".join(file.read_text() for file in (ROOT / "src/api").rglob("*.cpp"))
    documented = set()
    for page in PAGES[:2]:
        for line in (ROOT / f"docs/{page}.md").read_text().splitlines():
            if line.startswith("| `"):
                documented |= {path.split(".")[-1] for path in re.findall(r"`([\w.]+)`", line.split("|")[1])}
    assert len(documented) > 110
    assert {field for field in documented if f'"{field}"' not in code} - TOLD == set()
