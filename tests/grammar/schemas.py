"""Schemas of the variety that applications send: records, settings, events, trees, function arguments."""

import random

WORDS = ("id name title city status price total items kind code note email created owner tags size color weight "
         "active level score path region country street amount currency unit version author parent").split()
FORMATS = ["date-time", "date", "time", "email", "hostname", "ipv4", "ipv6", "uuid", "uri", "duration"]
PATTERNS = ["^[A-Z]{2,3}$", "^[a-z][a-z0-9_-]{0,15}$", r"^\d{4}-\d{2}$", "^#[0-9a-f]{6}$", "^(foo|bar)+$", "[0-9]+"]


def text(rng):
    schema = {"type": "string"}
    form = rng.randrange(7)
    if form == 0:
        schema["format"] = rng.choice(FORMATS)
    elif form == 1:
        schema["pattern"] = rng.choice(PATTERNS)
    elif form == 2:
        schema["minLength"] = rng.randrange(4)
        schema["maxLength"] = schema["minLength"] + rng.randrange(1, 40)
    elif form == 3:
        schema = {"enum": rng.sample(WORDS, rng.randrange(1, 6))}
    elif form == 4:
        schema = {"const": rng.choice(WORDS + ["", "a \"quoted\" text", "ünï", "line\nline"])}
    return schema


def number(rng):
    schema = {"type": rng.choice(["integer", "number"])}
    low = rng.randrange(-1000, 1000)
    if rng.random() < 0.5:
        schema[rng.choice(["minimum", "exclusiveMinimum"])] = low
    if rng.random() < 0.5:
        schema[rng.choice(["maximum", "exclusiveMaximum"])] = low + rng.randrange(2, 5000)
    if schema["type"] == "integer" and rng.random() < 0.2:
        schema["multipleOf"] = rng.choice([1, 2, 5])
    return schema


def array(rng, depth):
    schema = {"type": "array", "items": value(rng, depth - 1)}
    if rng.random() < 0.6:
        schema["minItems"] = rng.randrange(3)
        schema["maxItems"] = schema["minItems"] + rng.randrange(1, 4)
    if rng.random() < 0.15:
        schema["prefixItems"] = [value(rng, 0) for _ in range(rng.randrange(1, 3))]
    return schema


def record(rng, depth):
    names = rng.sample(WORDS, rng.randrange(1, 7))
    schema = {"type": "object", "properties": {name: value(rng, depth - 1) for name in names}}
    schema["required"] = [name for name in names if rng.random() < 0.6]
    closed = rng.random()
    if closed < 0.7:
        schema["additionalProperties"] = False
    elif closed < 0.8:
        schema["additionalProperties"] = {"type": rng.choice(["string", "integer", "boolean"])}
    if rng.random() < 0.2:
        schema["title"], schema["description"] = rng.choice(WORDS).title(), "What it is."
    return schema


def value(rng, depth):
    form = rng.random()
    if depth > 0 and form < 0.3:
        return record(rng, depth)
    if depth > 0 and form < 0.45:
        return array(rng, depth)
    if form < 0.5:
        return {"anyOf": [text(rng), {"type": "null"}]}
    if form < 0.55:
        return {"type": [rng.choice(["string", "integer", "boolean"]), "null"]}
    if form < 0.6:
        return {"enum": [1, "two", None, True, 2.5]}
    if form < 0.65:
        return {"type": "boolean", "default": False}
    return text(rng) if form < 0.85 else number(rng)


def tree(rng):
    return {"$ref": "#/$defs/node", "$defs": {"node": {
        "type": "object", "additionalProperties": False, "required": ["name"],
        "properties": {"name": text(rng),
                       "children": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/node"}}}}}}


def event(rng):
    kinds = rng.sample(WORDS, 3)
    return {"anyOf": [{"type": "object", "additionalProperties": False, "required": ["type", "data"],
                       "properties": {"type": {"const": kind}, "data": value(rng, 1)}} for kind in kinds]}


def merged(rng):
    return {"allOf": [{"type": "object", "properties": {"id": {"type": "integer", "minimum": 0}}, "required": ["id"]},
                      {"type": "object", "properties": {"name": text(rng)}, "required": ["name"]}]}


def settings(rng):
    return {"type": "object", "patternProperties": {"^x_[a-z]{1,8}$": value(rng, 0)}, "additionalProperties": False,
            "properties": {"mode": {"enum": ["on", "off"]}}, "required": ["mode"]}


def make(count):
    """Yields (name, schema), the same ones each time."""
    rng = random.Random(20260801)
    makers = [lambda r: record(r, 3)] * 6 + [lambda r: array(r, 3), tree, event, merged, settings]
    for i in range(count):
        yield f"made {i}", rng.choice(makers)(rng)
