"""Lists the commands: python -m draw_tf"""

import importlib
import sys

NAMES = ("train", "generate", "evaluate", "benchmark", "figures", "export", "import_listing",
         "ship")


def summary(name: str) -> str:
    """What a command does: the first words of its file."""
    main = ".__main__" if name == "benchmark" else ""
    text = importlib.import_module(f"draw_tf.{name}{main}").__doc__ or ""
    return text.partition(":")[0].splitlines()[0].rstrip(".")


def command() -> int:
    """Prints a line for each command; the status is 2 where one was given to run."""
    for name in NAMES:
        print(f"python -m draw_tf.{name:<15} {summary(name)}")
    print("Each lists its flags with --help, and also runs as draw-NAME, such as draw-train.")
    others = [argument for argument in sys.argv[1:] if argument not in ("--help", "-h")]
    if others:
        print(f"draw_tf: no command is run here, got {others[0]!r}: give one of these lines",
              file=sys.stderr)
    return 2 if others else 0


if __name__ == "__main__":
    sys.exit(command())
