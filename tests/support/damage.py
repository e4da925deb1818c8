"""Ways to damage the content of a file: bytes, and what its format makes of them."""

import copy
import io
import json
import warnings
import zipfile

import numpy as np

BOMB = 2**26  # bytes, all of them zero: they are packed into a thousandth of that
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


def archive(content, dice):
    """An .npz with a member that is renamed, lost, doubled, emptied, or of another header."""
    if dice.random() < 0.4:
        return some_bytes(content, dice)
    with zipfile.ZipFile(io.BytesIO(content)) as good:
        members = [(name, good.read(name)) for name in good.namelist()]
    at = dice.randrange(len(members))
    name, array = members[at]
    how = dice.randrange(8)
    if how == 0:
        members.pop(at)
    elif how == 1:
        name = dice.choice((name.removesuffix(".npy"), "step.npy", "../a.npy", ".npy", "x" * 60000))
        members.append((name, dice.choice((array, b"", bytes(BOMB)))))
    elif how == 2:
        members[at] = name, bytes(BOMB)
    elif how == 3:  # the length of the header
        members[at] = name, b"\x93NUMPY\x02\x00" + b"\xff\xff\xff\x0f" + bytes(BOMB)
    elif how == 4:
        old, new = dice.choice(((b"(", b"(9"), (b"<f4", b"<f8"), (b"<f4", b"|O8"), (b"f4", b"U9"),
                                (b"False", b"True "), (b", ", b",-"), (b"<f4", b">f4"),
                                (b"{", b"(" * 900)))
        members[at] = name, array.replace(old, new, 1)
    elif how == 5:
        members[at] = name, array[:-4] + np.float32(dice.choice((np.inf, np.nan, 1e30))).tobytes()
    elif how == 6:
        members[at] = name, array + bytes(dice.choice((1, 4, 2**28)))
    else:
        members[at] = name, some_bytes(array, dice)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bad, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, array in members:
            bad.writestr(name, array, compresslevel=1)
    return packed.getvalue()
