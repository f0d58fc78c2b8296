"""Reads the data cases of tests/api/routes (their format: case_file.h there) and matches JSON answers against them."""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "api" / "routes"


@dataclass
class Case:
    title: str
    method: str = ""
    path: str = ""
    body: str = ""
    status: int = 0
    content_type: str = ""
    expected: str = ""


def read_cases(name):
    cases, part = [], "head"
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        if line.startswith("== "):
            cases.append(Case(line[3:]))
            part = "head"
        elif line.startswith("> ") and part == "head":
            cases[-1].method, cases[-1].path = line[2:].split()[:2]
            part = "body"
        elif line.startswith("< ") and part == "body":
            status, cases[-1].content_type = line[2:].split()[:2]
            cases[-1].status = int(status)
            part = "answer"
        elif part == "body":
            cases[-1].body += line + "\n"
        elif part == "answer":
            cases[-1].expected += line + "\n"
    for case in cases:
        assert case.status, f"{name}: {case.title}: no answer line"
        case.body = re.sub(r"\$\{repeat:(\d+):([^}]*)\}", lambda m: m[2] * int(m[1]), case.body)
    return cases


def _fits_word(word, got):
    if word == "<any>":
        return True
    if word == "<string>":
        return isinstance(got, str)
    if word == "<integer>":
        return isinstance(got, int) and not isinstance(got, bool)
    if word == "<number>":
        return isinstance(got, (int, float)) and not isinstance(got, bool)
    if word.startswith("<has:"):
        return isinstance(got, str) and word[5:-1] in got
    return word == got


def _first(reasons):
    return next(filter(None, reasons), "")


def mismatch(pattern, got, path="$"):
    """Returns "" if `got` fits `pattern`, else where it does not."""
    if isinstance(pattern, str):
        return "" if _fits_word(pattern, got) else f"{path}: expected {pattern}, got {got!r}"
    if isinstance(pattern, dict):
        if not isinstance(got, dict):
            return f"{path}: expected an object, got {got!r}"
        extra = set() if "..." in pattern else set(got) - set(pattern)
        missing = set(pattern) - set(got) - {"..."}
        if extra or missing:
            return f"{path}: extra keys {sorted(extra)}, missing keys {sorted(missing)}"
        return _first(mismatch(pattern[key], got[key], f"{path}.{key}") for key in pattern if key != "...")
    if isinstance(pattern, list):
        if not isinstance(got, list) or len(got) != len(pattern):
            return f"{path}: expected {len(pattern)} items, got {got!r}"
        return _first(mismatch(p, g, f"{path}[{i}]") for i, (p, g) in enumerate(zip(pattern, got)))
    return "" if pattern == got and type(pattern) is type(got) else f"{path}: expected {pattern!r}, got {got!r}"
