"""What the fuzzers of all APIs share: how a right body is made wrong, and how much memory a program has."""

import copy
import json

# Values that no field takes: wrong types, wrong ranges, deep and strange things.
BAD = [
    *(-(10**9), 1e300, 2**63, -1.5, "\u0000", "x" * 70, [[[]]], [None], [{"a": None}]),
    *({"a": {"b": []}}, {"type": "nope"}, True, "nope", {"": 1}, ["", 1]),
]
# Bodies that are no object, or name no model that is here.
BODIES = [b"", b"null", b"[]", b"1", b'"x"', b"\xff\xfe", b"{" * 500, b"[" * 100000, b'{"model": 5}']
RUBBISH = ["", "\x00", "}", "]]", '"', "nul", "\\u12"]
GROWTH_MAX_KB = 24 << 10


def places(value, path=()):
    """Every place in a JSON value but the root."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def put(value, path, new):
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


def broken(source, valid, needed=None, fixed=None):
    """A body with one or two wrong values, or one that is no JSON object.

    With `needed`, most of the other fields are left out, so that the first mistake is not always the same one's;
    `fixed` are members that it has before it is broken.
    """
    if source.random() < 0.1:
        text = json.dumps(valid)
        cut = source.randrange(len(text))
        return (text[:cut] + source.choice(RUBBISH) + text[cut + 1 + source.randrange(9) :]).encode()
    if source.random() < 0.03:
        return source.choice(BODIES)
    body = copy.deepcopy(valid)
    if needed is not None:
        for key in list(body):
            if key not in needed and source.random() < 0.7:
                del body[key]
    body.update(fixed or {})
    for _ in range(source.randint(1, 2)):
        put(body, source.choice(list(places(body))), copy.deepcopy(source.choice(BAD)))
    return json.dumps(body).encode()


def resident_kb(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmRSS")))
