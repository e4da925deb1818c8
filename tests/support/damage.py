"""Ways to damage the content of a file: bytes, and what its format makes of them."""

import copy
import io
import json
import pickle

import numpy as np

BOMB = 2**26  # bytes, of what is far too long
# values that a number, a text or a list of a settings file may be replaced by
ODD = (None, True, False, 0, -1, 1.5, 1e308, float("nan"), float("inf"), 10**9, 10**400, 2**31, "",
       "none", "\ud800", "a\nb", "x" * 10_000, [], [[]], {}, {"a": 1}, [28, 28, 1], "8,8",
       [8000, 8000, 3], 16_000, 4000)


def _odd_bytes(dice):
    return dice.choice((b"", b"\0", b"\xff", b"\n", b"\r", b"-1", b"9" * 30, b"{" * 2000, b'"',
                        b"--", b"=", bytes(dice.randrange(256) for _ in range(8)), bytes(1000)))


def some_bytes(content, dice):
    """Some bytes changed, cut out, put in or repeated, mostly near the start."""
    content = bytearray(content)
    for _ in range(dice.choice((1, 1, 1, 2, 4, 16))):
        size = len(content)
        at = dice.randrange(size + 1) if dice.random() < 0.5 else dice.randrange(min(size, 64) + 1)
        end = min(size, at + dice.choice((1, 1, 2, 4, 40, size)))
        how = dice.randrange(5)
        if how == 0 and at < size:
            content[at] ^= 1 << dice.randrange(8)
        elif how == 1:
            del content[at:end]
        elif how == 2:
            content[at:at] = content[at:end]
        elif how == 3:
            content[at:at] = _odd_bytes(dice)
        else:
            part = _odd_bytes(dice)
            content[at:at + len(part)] = part
    return bytes(content)


def _damage_tree(tree, dice):
    """One value of a tree of lists and dictionaries replaced, removed, renamed or repeated."""
    places = []

    def walk(node):
        keys = node if isinstance(node, dict) else range(len(node))
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                walk(node[key])

    walk(tree)
    node, key = dice.choice(places)
    how = dice.randrange(6)
    if how == 0:
        del node[key]
    elif how == 1 and isinstance(node, dict):
        node[dice.choice((key.upper(), key + "x", "", "__class__"))] = node.pop(key)
    elif how == 2:
        node[key] = [node[key]]
    else:
        node[key] = copy.deepcopy(dice.choice(ODD))
    return tree


def json_text(content, dice):
    if dice.random() < 0.4:
        return some_bytes(content, dice)
    tree = json.loads(content)
    for _ in range(dice.choice((1, 1, 2))):
        if tree:
            _damage_tree(tree, dice)
    return json.dumps(tree).encode()


def json_lines(content, dice):
    lines = content.splitlines(keepends=True)
    at = dice.randrange(len(lines))
    lines[at] = json_text(lines[at], dice)
    return b"".join(lines)


def flags(content, dice):
    if dice.random() < 0.3:
        return some_bytes(content, dice)
    lines = content.decode().splitlines()
    at = dice.randrange(len(lines))
    name, _, value = lines[at].partition("=")
    value = str(dice.choice((*ODD, value)))
    lines[at] = dice.choice((f"{name}={value}", f"{name} {value}", name, f"--no{name[2:]}",
                             f"--no{name[2:]}={value}", f"{name[:-1]}={value}", value,
                             f"{name}={value}\n{name}={value}", "--flagfile=none", "--"))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def tensors(content, dice):
    """A safetensors file of another header, of a header that lies, or of other numbers."""
    if dice.random() < 0.3:
        return some_bytes(content, dice)
    length = int.from_bytes(content[:8], "little")
    header, numbers = content[8:8 + length], content[8 + length:]
    if dice.random() < 0.1:
        return dice.choice((_npz(), pickle.dumps(header), b"", header, numbers, bytes(BOMB)))
    how = dice.randrange(8)
    if how == 0:
        header = json_text(header, dice)
    elif how == 1:  # one tensor's type, shape or place; or the metadata
        tree = json.loads(header)
        name = dice.choice(list(tree))
        key = dice.choice(list(tree[name]))
        tree[name][key] = copy.deepcopy(dice.choice((
            *ODD, "F64", "F32", "BF16", "I64", "U8", "BOOL", "F4", [0, 2**64 - 1], [2**63, 2**63],
            [2**32, 2**32], [0, 0], [8, 4], [-1, 3], [1] * 1000, [0], "7", "-7", "9" * 5000)))
        header = json.dumps(tree).encode()
    elif how == 2:  # as many numbers, by other names
        old, new = dice.choice(((b"mu/bias", b"mu/bia5"), (b"F16", b"I16"), (b"F16", b"F32"),
                                (b"mu/bias", b"mu/kernel"), (b"__metadata__", b"mu/noise"),
                                (b'"shape":[', b'"shape":[1,'), (b"step", b"stop")))
        header = header.replace(old, new)
    elif how == 3:
        header = dice.choice((b"[" * BOMB, b"{" * 10**5, b" " * BOMB, b'{"a":' * 10**5, header * 2,
                              header + b" " * BOMB, _many_names(), b'{"' + b"x" * BOMB + b'":1}'))
    elif how == 4:
        at = 2 * dice.randrange(len(numbers) // 2)
        odd = np.float16(dice.choice((np.inf, -np.inf, np.nan, 60000))).tobytes()
        numbers = numbers[:at] + odd + numbers[at + 2:]
    elif how == 5:
        numbers = dice.choice((b"", numbers[:-1], numbers[:-2], numbers + b"\0", numbers * 2,
                               numbers + bytes(BOMB)))
    elif how == 6:
        numbers = some_bytes(numbers, dice)
    length = len(header) if how < 7 else dice.choice(
        (0, 1, length - 1, length + 1, 2**20, 10**8, 2**31, 2**32, 2**63, 2**64 - 1))
    return length.to_bytes(8, "little") + header + numbers


def _many_names():
    names = (f'"{n}":{{"dtype":"F16","shape":[0],"data_offsets":[0,0]}}' for n in range(10**5))
    return ("{" + ",".join(names) + "}").encode()


def _npz():
    file = io.BytesIO()
    np.savez(file, **{"mu/bias": np.zeros(3)})
    return file.getvalue()
