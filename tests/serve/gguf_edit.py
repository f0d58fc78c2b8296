"""A GGUF file with other values in its metadata: everything else is as it was."""

import struct

ALIGNMENT_KEY = "general.alignment"
UINT32, STRING, ARRAY = 4, 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0]

    def string(self):
        length = self.take("Q")
        self.at += length
        return self.data[self.at - length:self.at].decode()

    def skip(self, kind):
        if kind == STRING:
            length = self.take("Q")
            self.at += length
        elif kind == ARRAY:
            inner, count = self.take("I"), self.take("Q")
            for _ in range(count if inner in (STRING, ARRAY) else 0):
                self.skip(inner)
            self.at += SIZES.get(inner, 0) * count
        else:
            self.at += SIZES[kind]


def written(value):
    """Returns the kind and the bytes of a value."""
    if isinstance(value, int):
        return UINT32, struct.pack("<I", value)
    text = value.encode()
    return STRING, struct.pack("<Q", len(text)) + text


def edited(source, target, values):
    """Writes `target`: the file `source`, where these keys, which it has, have these values. Returns `target`."""
    data = source.read_bytes()
    reader = Reader(data)
    assert reader.take("4s") == b"GGUF"
    reader.take("I")
    tensors, pairs = reader.take("Q"), reader.take("Q")
    alignment, head, done, found = 32, b"", 0, set()
    for _ in range(pairs):
        key, kind, at = reader.string(), reader.take("I"), reader.at
        if key == ALIGNMENT_KEY:
            alignment = struct.unpack_from("<I", data, at)[0]
        reader.skip(kind)
        if key in values:
            new_kind, new = written(values[key])
            assert new_kind == kind, f"{key}: it is of kind {kind}"
            head, done = head + data[done:at] + new, reader.at
            found.add(key)
    assert found == set(values), f"{source} lacks {set(values) - found}"
    for _ in range(tensors):
        reader.string()
        dimensions = reader.take("I")
        reader.at += 8 * dimensions + 4 + 8
    head += data[done:reader.at]
    start = -(-reader.at // alignment) * alignment
    target.write_bytes(head + bytes(-len(head) % alignment) + data[start:])
    return target
