"""Requests of real clients as tests/clients recorded them, with filler of the same shape in place of their texts."""

import json
import random
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "transcripts"
MARK = re.compile(r"<(\d+)/(\d+)#(\d+)>")
WORDS = (
    "file path tool result user task change test build error line read write search pattern command output session "
    "branch commit folder module function argument value option default config server client request answer"
).split()


def filler(chars, lines, seed):
    """Text of that many characters in that many lines, the same for the same seed."""
    source = random.Random(seed)
    line_chars = max(1, chars // lines)
    text, column = "", 0
    while len(text) < chars:
        word = source.choice(WORDS)
        if column == 0:
            word = word.capitalize()
        text += word
        column += len(word) + 1
        if column > line_chars and text.count("\n") < lines - 1:
            text, column = text + ".\n", 0
        else:
            text += " "
    return text[:chars]


def names():
    return sorted(path.stem for path in FOLDER.glob("*.json"))


class Transcript:
    """`scale` shortens every text alike, for a quick test."""

    def __init__(self, name, scale=1.0):
        self.name, self.scale = name, scale
        self.read = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        self.filler_chars = 0  # of the last body

    def exchanges(self):
        for exchange in self.read["exchanges"]:
            self.filler_chars = 0
            headers = self._filled(exchange["headers"])
            self.filler_chars = 0
            yield exchange | {"headers": headers, "body": self._filled(exchange.get("body"))}

    def _filled(self, value):
        if isinstance(value, dict):
            if "$same" in value:
                return self._filled(self.read["shared"][value["$same"]])
            return {name: self._filled(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        return MARK.sub(self._text, value) if isinstance(value, str) else value

    def _text(self, mark):
        chars, lines, number = (int(part) for part in mark.groups())
        chars = max(1, int(chars * self.scale))
        self.filler_chars += chars
        return filler(chars, max(1, int(lines * self.scale)), f"{self.name}{number}")
