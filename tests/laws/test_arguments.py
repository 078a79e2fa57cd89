"""No function takes a list of arguments that wants to be an object."""

import ast
from pathlib import Path

import cspops

MOST = 7
MANY = {
    ("mc_loss", "the symbols of Eq. 4: losses see tensors and plain numbers only"),
    ("nce_loss", "the symbols of Eq. 3, and which rows of a batch they are of"),
    ("gair_loss", "three embeddings and a queue, and which rows of a batch they are of"),
    ("Ffn.__init__", "the settings of a network, as its config.json has them"),
    ("predict", "the options of a command"),
    ("Model.predict", "what a user asks of a model, by names"),
    ("embed", "the options of a command"),
    ("evaluate", "the options of a command"),
    ("score", "what `evaluate --on` asks for"),
    ("export", "the options of a command"),
    ("draw_map", "the options of a command"),
    ("locate", "the options of a command"),
    ("probe", "the options of a command"),
}
"""Functions that may take more, and why."""


def crowded(tree: ast.Module) -> list[str]:
    """Functions and methods with more than ``MOST`` arguments besides self and cls."""
    found = []
    for owner in ast.walk(tree):
        for one in ast.iter_child_nodes(owner):
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                given = one.args
                names = [arg.arg for arg in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
                count = len([name for name in names if name not in ("self", "cls")]) + bool(given.vararg) + bool(given.kwarg)
                if count > MOST:
                    found.append(f"{owner.name}.{one.name}" if isinstance(owner, ast.ClassDef) else one.name)
    return found


def test_few_functions_take_eight_arguments_or_more():
    files = Path(cspops.__file__).parent.rglob("*.py")
    found = sorted(name for file in files for name in crowded(ast.parse(file.read_text(encoding="utf-8"))))
    assert found == sorted(name for name, _ in MANY)


def test_one_more_is_seen():
    plain, method = "def f(a, b, c, d, /, e, f, *g, h): ...", "class C:\n def m(self, a, b, c, d, e, f, g): ..."
    assert crowded(ast.parse(plain)) == ["f"]
    assert crowded(ast.parse(method)) == []
    assert crowded(ast.parse(method.replace("g)", "g, **h)"))) == ["C.m"]
