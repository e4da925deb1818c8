"""Lists the commands: python -m draw_tf"""

import importlib
import sys

NAMES = ("train", "generate", "evaluate", "benchmark", "figures", "export", "import_listing",
         "ship")


def command() -> int:
    """Prints a line for each command; the status is 2 where one was given to run."""
    for name in NAMES:
        file = "benchmark.__main__" if name == "benchmark" else name
        text = importlib.import_module(f"draw_tf.{file}").__doc__ or ""
        summary = text.partition(":")[0].splitlines()[0].rstrip(".")
        print(f"python -m draw_tf.{name:<15} {summary}")
    print("Each lists its flags with --help, and also runs as draw-NAME, such as draw-train.")
    for argument in sys.argv[1:]:
        if argument not in ("--help", "-h"):
            print(f"draw_tf: no command is run here, got {argument!r}: give one of these lines",
                  file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(command())
