"""Lists the commands: python -m draw_tf"""

import importlib

NAMES = ("train", "generate", "evaluate", "benchmark", "figures", "export", "import_listing",
         "ship")


def summary(name: str) -> str:
    """What a command does: the first words of its file."""
    main = ".__main__" if name == "benchmark" else ""
    text = importlib.import_module(f"draw_tf.{name}{main}").__doc__ or ""
    return text.partition(":")[0].splitlines()[0].rstrip(".")


def command() -> None:
    """Prints a line for each command."""
    for name in NAMES:
        print(f"python -m draw_tf.{name:<15} {summary(name)}")
    print("Each lists its flags with --help, and also runs as draw-NAME, such as draw-train.")


if __name__ == "__main__":
    command()
