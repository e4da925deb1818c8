"""How every command ends: quietly, or with one sentence and exit status 1."""

from logging import getLogger
import os
import sys

from absl import app
from absl import logging

from draw_tf.errors import DRAWError


def run(main):
    """Runs a command's `main` under absl; errors meant for the user are told without traceback."""

    def told(argv):
        logging.set_verbosity(logging.WARNING)  # TensorFlow tells of its routine through absl
        try:
            if len(argv) > 1:
                raise DRAWError(f"unexpected argument {argv[1]!r}: every setting is a --flag=value")
            return main(argv)
        except DRAWError as error:
            # nothing may follow the sentence, such as what a checkpoint held that was not read
            getLogger("tensorflow").setLevel("CRITICAL")
            name = os.path.basename(sys.argv[0])
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:  # before or after training, which saves and ends by itself
            return 130

    app.run(told)
