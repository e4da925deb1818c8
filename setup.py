import re
import subprocess
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
PACKAGE = ROOT / "draw_tf" / "__init__.py"  # read, because importing it imports TensorFlow
AUTHOR = "The draw-tf authors"
RELATIVE = r"(?!https?:|#)[^)]*"  # a link to another file


def repository() -> str:
    """The address on GitHub that this is a clone of, such as https://github.com/me/draw, or ""."""
    try:
        origin = subprocess.run(["git", "remote", "get-url", "origin"], cwd=ROOT,
                                capture_output=True, text=True).stdout
    except OSError:  # no git
        return ""
    found = re.search(r"github\.com[:/]([^/\s]+/[^/\s]+?)(\.git)?$", origin.strip())
    return f"https://github.com/{found[1]}" if found else ""


def long_description() -> str:
    """The README for a package index, which has no files beside the text.

    Links to files point to the repository; without one, pictures and links are left out.
    """
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    if repository():
        text = re.sub(rf"\]\(({RELATIVE}\.(?:gif|png))\)", rf"]({repository()}/raw/HEAD/\1)", text)
        return re.sub(rf"\]\(({RELATIVE})\)", rf"]({repository()}/blob/HEAD/\1)", text)
    text = re.sub(rf"\[?!\[[^]]*\]\({RELATIVE}\)(\]\([^)]*\))?\n*", "", text)
    return re.sub(rf"\[([^]]*)\]\({RELATIVE}\)", r"\1", text)


setup(
    name="draw-tf",
    version=re.search(r'__version__ = "(.+)"', PACKAGE.read_text(encoding="utf-8"))[1],
    description="DRAW, the Deep Recurrent Attentive Writer, in TensorFlow 2",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    author=AUTHOR,
    url=repository() or None,
    project_urls={
        "Paper": "https://arxiv.org/abs/1502.04623",
        "Article": "https://jhui.github.io/2017/04/30/DRAW-Deep-recurrent-attentive-writer/"},
    keywords="DRAW, attention, variational autoencoder, generative model, LSTM, Keras, TensorFlow",
    license="Apache-2.0",
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed"],
    python_requires=">=3.11,<3.14",
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
        "notebook": ["ipywidgets>=8.1", "jupyterlab>=4.0", "matplotlib>=3.8"],
        "plot": ["matplotlib>=3.8"],
        "test": ["ipython>=8.18", "ipywidgets>=8.1", "matplotlib>=3.8", "mypy>=1.13",
                 "nbformat>=5.10", "pytest>=8.0", "pytest-xdist>=3.5", "pyyaml>=6.0", "ruff>=0.6"],
    },
)
