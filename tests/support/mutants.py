"""The streams package's modules, loaded once more for one test: as they are, or with one rule left out.

A mutant leaves one rule out. A test that passes with it tests nothing; nor does a mutant whose rule is not there any more.
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeVar
from unittest.mock import patch

_Node = TypeVar("_Node", bound=ast.AST)


@dataclass(frozen=True)
class Mutant:
    """A module of streams in which `before` is `after`: an expression, or statements that follow each other.

    Compared as code, so comments, indentation and line breaks do not matter. Without `after`, nothing is done instead.
    `times`: how often the module has it; any other number is an error.
    """

    module: str
    before: str
    after: str = "pass"
    times: int = 1

    def of(self, tree: ast.Module) -> ast.Module:
        """The module's code with the rule left out."""
        replace = _Replace(ast.parse(self.before).body, ast.parse(self.after).body)
        changed = replace.visit(tree)
        if replace.times != self.times:
            raise LookupError(
                f"streams/{self.module}.py has this {replace.times} times, not {self.times}: {self.before}"
            )
        return ast.fix_missing_locations(changed)


class _Replace(ast.NodeTransformer):
    def __init__(self, before: Sequence[ast.stmt], after: Sequence[ast.stmt]) -> None:
        self.times = 0
        self._before = list(map(ast.dump, before))
        self._after = after
        self._expression = _expression(before), _expression(after)

    def visit(self, node: ast.AST) -> Any:
        before, after = self._expression
        if before and after and ast.dump(node) == ast.dump(before):
            self.times += 1
            return after
        return self.generic_visit(node)

    def generic_visit(self, node: _Node) -> _Node:
        super().generic_visit(node)
        for field, block in ast.iter_fields(node):
            if all(self._expression) or not (isinstance(block, list) and block and isinstance(block[0], ast.stmt)):
                continue
            size, dumped = len(self._before), list(map(ast.dump, block))
            for at in reversed(range(len(block))):
                if dumped[at : at + size] == self._before:
                    self.times += 1
                    block[at : at + size] = self._after
            setattr(node, field, block)
        return node


def _expression(code: Sequence[ast.stmt]) -> ast.expr | None:
    return code[0].value if len(code) == 1 and isinstance(code[0], ast.Expr) else None


@cache
def _compiled(name: str, mutants: tuple[Mutant, ...]) -> tuple[ModuleSpec, CodeType]:
    spec = importlib.import_module(f"streams.{name}").__spec__  # imported, so that what it imports stays so
    assert spec
    assert spec.origin
    tree = ast.parse(Path(spec.origin).read_text())
    for mutant in mutants:
        tree = mutant.of(tree)
    return spec, compile(tree, spec.origin, "exec")


def loaded(names: Sequence[str], mutants: Sequence[Mutant], instead: Mapping[str, Any]) -> dict[str, ModuleType]:
    """Modules of streams, each after those that it imports, which see each other; `instead`: of what they import, by its name."""
    strangers = {mutant.module for mutant in mutants} - set(names)
    if strangers:
        raise LookupError(f"mutants of modules that are not loaded: {strangers}")
    modules: dict[str, ModuleType] = {}
    for name in names:
        spec, code = _compiled(name, tuple(mutant for mutant in mutants if mutant.module == name))
        module = importlib.util.module_from_spec(spec)
        with patch.dict(sys.modules, {f"streams.{other}": it for other, it in modules.items()}):
            exec(code, vars(module))
        vars(module).update({used: other for used, other in instead.items() if used in vars(module)})
        modules[name] = module
    return modules
