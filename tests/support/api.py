"""The page of what is public, from the docstrings: python -m tests.support.api > assets/api.md"""

import dataclasses
import inspect
import re

import draw_tf

HEAD = """# What is public

Names that other programs may use; everything else may change. This page is made of docstrings by
`python -m tests.support.api > assets/api.md`, and the tests run its examples. T is the number of
steps, N of images; H, W, C are height, width and channels; D is the hidden size, and Z the latent
size. Nats are per image.

```pycon
>>> import draw_tf
>>> digits = draw_tf.data.load("digits", "test")
>>> print(digits, digits.shape, len(digits))
digits/test (28, 28, 1) 500
>>> images = digits.binarized().floats()[:16]
>>> images.shape
(16, 28, 28, 1)
>>> trained = draw_tf.load("mnist")
>>> trained.config.glimpses, trained.config.equations
(10, 'article')
>>> trace = trained.trace(images)
>>> trace.images.shape, trace.kl_nats.shape, trace.write.gx.shape
(TensorShape([10, 16, 28, 28, 1]), TensorShape([10, 16]), TensorShape([10, 16, 1]))
>>> draw_tf.save("redrawn.gif", trained, trace, images)
>>> draw_tf.save("new.png", trained, trained.generate(4, seed=0))
>>> model = draw_tf.DRAW(draw_tf.DRAWConfig(glimpses=2, hidden_size=8, latent_size=2))
>>> model.compile("adam", jit_compile=False)
>>> history = model.fit(images, verbose=0)
>>> history.history["bound_nats"][0] > 100
True
>>> draw_tf.DRAWConfig(glimpses=0)
Traceback (most recent call last):
...
draw_tf.errors.ConfigError: glimpses must be a whole number of at least 1 and below 4096, got 0

```
"""
DATA = ("Images", "load", "names", "pictures")  # of draw_tf.data, whose rest is for the package
SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Yields|Example|Examples):$")


def public() -> dict[str, object]:
    """What is public, by its full name, in the order of the page."""
    found = {}
    for room, prefix, names in ((draw_tf, "draw_tf", draw_tf.__all__),
                                (draw_tf.data, "draw_tf.data", DATA)):
        found |= {f"{prefix}.{name}": getattr(room, name) for name in sorted(names)
                  if not inspect.ismodule(getattr(room, name))}
    return found


def methods(cls: type) -> dict[str, object]:
    """The documented public methods and properties that this package gives to a class."""
    return {name: member for name, member in sorted(inspect.getmembers(cls))
            if not name.startswith("_") and inspect.getdoc(member)
            and (inspect.isfunction(member) or isinstance(member, property))
            and getattr(getattr(member, "fget", member), "__module__", "").startswith("draw_tf")}


def text(doc: str) -> str:
    """A docstring in Google's style as Markdown; what is indented deeper becomes a list."""
    lines, section = [], ""
    for line in doc.splitlines():
        heading = SECTION.match(line)
        if heading:
            section = heading[1]
            lines += [f"**{section}**", ""]
        elif not line.startswith("  "):
            section = "" if line else section
            lines.append(line)
        elif section in ("Args", "Attributes", "Raises") and re.match(r"  \S", line):
            name, colon, rest = line.strip().partition(": ")
            lines.append(f"- `{name}`: {rest}" if colon else f"- {line.strip()}")
        elif section.startswith("Example"):
            lines.append(line[2:])
        else:
            lines.append(line)
    return "\n".join(lines)


def signature(value) -> str:
    """The arguments of a function or class, without annotations."""
    given = inspect.signature(value)
    bare = [parameter.replace(annotation=inspect.Parameter.empty)
            for parameter in given.parameters.values() if parameter.name != "self"]
    return str(given.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def fields(cls: type) -> str:
    """The settings of a settings class, with their defaults and help texts."""
    return "\n".join(f"- `{field.name}` = `{field.default!r}`: {field.metadata.get('help', '')}"
                     for field in dataclasses.fields(cls))


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, value in public().items():
        if not callable(value):
            continue
        settings = dataclasses.is_dataclass(value) and any(
            field.metadata for field in dataclasses.fields(value))
        arguments = "(...)" if settings else signature(value)
        parts.append(f"## `{name}`\n\n```text\n{name}{arguments}\n```\n\n"
                     f"{text(inspect.getdoc(value) or '')}\n")
        if settings:
            parts.append(fields(value) + "\n")
        if inspect.isclass(value) and not settings:
            for method, member in methods(value).items():
                given = "" if isinstance(member, property) else signature(member)
                parts.append(f"### `{method}{given}`\n\n{text(inspect.getdoc(member))}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
