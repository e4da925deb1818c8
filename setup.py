import re
import subprocess
from pathlib import Path

from setuptools import find_packages, setup

README = Path(__file__).with_name("README.md")
PACKAGE = Path(__file__).with_name("draw_tf") / "__init__.py"  # not imported: TensorFlow may lack


def long_description() -> str:
    """The README for a package index, which has no files beside the text.

    Links to assets/ point to the GitHub repository that this is a clone of; without one, pictures
    and links are left out.
    """
    text = README.read_text(encoding="utf-8")
    try:
        origin = subprocess.run(["git", "remote", "get-url", "origin"], cwd=README.parent,
                                capture_output=True, text=True).stdout
    except OSError:  # no git
        origin = ""
    repository = re.search(r"github\.com[:/]([^/\s]+/[^/\s]+?)(\.git)?$", origin.strip())
    if repository:
        return text.replace("](assets/", f"](https://github.com/{repository[1]}/raw/HEAD/assets/")
    text = re.sub(r"\[?!\[[^]]*\]\(assets/[^)]*\)(\]\([^)]*\))?\n*", "", text)
    return re.sub(r"\[([^]]*)\]\(assets/[^)]*\)", r"\1", text)


setup(
    name="draw-tf",
    version=re.search(r'__version__ = "(.+)"', PACKAGE.read_text(encoding="utf-8"))[1],
    description="DRAW, the Deep Recurrent Attentive Writer, in TensorFlow 2",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["draw_tf", "draw_tf.*"]),
    package_data={"draw_tf": ["py.typed", "data/digits.npz", "configs/*.flags", "pretrained/*.md",
                              "pretrained/*/*", "pictures/explorer/*"]},
    entry_points={"console_scripts": [
        *(f"draw-{name} = draw_tf.{name}:command" for name in (
            "train", "generate", "evaluate", "figures", "export", "import_listing", "ship")),
        "draw-benchmark = draw_tf.benchmark.__main__:command"]},
    install_requires=[
        "absl-py>=2.1",
        "imageio>=2.31",
        "importlib_resources>=6.0",  # tensorflow-datasets needs it and does not say so
        "keras>=3.15",
        "numpy>=1.26",
        "pillow>=10.1",
        "requests>=2.31",
        "safetensors>=0.4.3",
        "tensorboard>=2.21",  # tensorflow 2.21 no longer brings it, and tf.summary needs it
        "tensorflow>=2.21",
        "tensorflow-datasets>=4.9.10",
        "tqdm>=4.66",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21"],
        "plot": ["matplotlib>=3.8"],
        "test": ["ipython>=8.18", "matplotlib>=3.8", "nbformat>=5.10",
                 "pytest>=8.0", "pytest-xdist>=3.5", "pyyaml>=6.0", "ruff>=0.6"],
    },
)
