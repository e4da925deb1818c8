"""The layout of the package: imports go down from floor to floor, and a module is short."""

import ast
import functools
import graphlib
import os
import subprocess
import sys

import pytest

import draw_tf
from tests.support.cli import ROOT

SCRIPTS = {"train", "generate"}
FILES = {"train", "generate", "evaluate", "export", "ship", "figures", "import_listing"}
COMMANDS = {"draw_tf.__main__", "draw_tf.benchmark.__main__", "draw_tf.data.make_digits",
            *(f"draw_tf.{name}" for name in FILES)}
# From the bottom up. What stands on one floor knows nothing of its neighbours.
FLOORS = [{"errors", "devices"}, {"config", "files"}, {"noise"}, {"models", "data"},
          {"checkpoints"}, {"pictures"}, {"evaluation"}, {"training"}, {"commands"},
          {"benchmark"}, FILES, {"__main__"}]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {module_name(path): path for path in (
    ROOT / "train.py", ROOT / "generate.py", *sorted((ROOT / "draw_tf").rglob("*.py")))}


def room(module):
    return module.removeprefix("draw_tf.").partition(".")[0]


@functools.cache
def imports(module):
    """The full names that a module imports anywhere in it: of modules, or of what is in them."""
    names = set()
    for node in ast.walk(ast.parse(PATHS[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_modules(module):
    """The modules of the package that a module imports."""
    return {name if name in PATHS else name.rpartition(".")[0] for name in imports(module)
            if name.partition(".")[0] in ("draw_tf", "train", "generate")}


def importers(package):
    """The modules that import a package from outside of this one."""
    return {module for module in PATHS
            if any(f"{name}.".startswith(f"{package}.") for name in imports(module))}


def test_every_import_goes_down_or_stays_in_its_room():
    modules = set(PATHS) - {"draw_tf"}  # which offers what lies on all floors
    assert {room(module) for module in modules} == set(FLOOR_OF)
    edges = {(module, imported) for module in modules for imported in imported_modules(module)}
    assert len(edges) > 100
    assert {edge for edge in edges if edge[1] == "draw_tf"} == set()
    upwards = {(module, imported) for module, imported in edges if room(module) != room(imported)
               and FLOOR_OF[room(imported)] >= FLOOR_OF[room(module)]}
    assert upwards == set()


def test_no_imports_go_in_a_circle():
    graph = graphlib.TopologicalSorter({module: imported_modules(module) for module in PATHS})
    graph.prepare()  # raises CycleError, which names the circle


def test_no_module_imports_a_command():
    assert {(module, imported) for module in set(PATHS) - SCRIPTS
            for imported in imported_modules(module) if imported in COMMANDS} == set()


def test_flags_and_image_files_stay_at_the_edge():
    assert importers("absl.flags") <= COMMANDS | {"draw_tf.commands"}
    assert {room(module) for module in importers("imageio")} <= {"pictures", "data"}
    assert importers("absl.flags") and importers("imageio")


def test_no_module_is_long():
    lines = {module: len(path.read_text(encoding="utf-8").splitlines())
             for module, path in PATHS.items()}
    assert {module: count for module, count in lines.items() if count > 320} == {}


def test_the_package_is_imported_without_a_word():
    script = "import draw_tf; assert set(draw_tf.__all__) <= set(dir(draw_tf))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_keras_loads_a_model_once_the_package_is_imported(tmp_path):
    model = draw_tf.DRAW(draw_tf.DRAWConfig(glimpses=1, hidden_size=2))
    model.save(tmp_path / "model.keras")
    script = """import sys, draw_tf, keras
print(keras.saving.load_model("model.keras").config.glimpses)
for name in [name for name in sys.modules if name.startswith("draw_tf")]:
    del sys.modules[name]
keras.saving.get_custom_objects().clear()
import draw_tf  # the other way round: Keras is there already
print(keras.saving.load_model("model.keras").config.glimpses)"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True,
                          text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(
                              [str(ROOT), os.environ.get("PYTHONPATH", "")])})
    assert done.stdout == "1\n1\n", done.stderr


@pytest.mark.parametrize("module", PATHS)
def test_public_functions_are_annotated(module):
    tree = ast.parse(PATHS[module].read_text(encoding="utf-8"))
    scopes = [node for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.ClassDef))]
    for function in (node for scope in scopes for node in scope.body):
        if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
            arguments = [*function.args.args, *function.args.kwonlyargs]
            lacking = {x.arg for x in arguments if not x.annotation} - {"self", "cls"}
            assert function.returns and not lacking, f"{function.name}: {lacking or 'its result'}"
