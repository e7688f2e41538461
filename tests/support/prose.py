"""Where control reads prose: sentences that are searched, compared or cut apart, found in the syntax of Python and of templates."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

SENTENCES = {"error", "message", "reason", "reasons", "sentence", "statement"}
"""Names of variables and fields that hold sentences."""
SEARCHES = {"count", "endswith", "find", "index", "partition", "removeprefix", "removesuffix", "rfind", "rpartition", "split", "startswith"}
SAME = {"casefold", "lower", "strip", "lstrip", "rstrip", "upper"}
"""Methods that leave a sentence a sentence."""


def searched(tree: ast.Module) -> Iterator[str]:
    """Expressions that decide by a sentence, as source text."""
    nodes = list(ast.walk(tree))
    told = _of_errors(nodes)

    def is_prose(node: ast.AST) -> bool:
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return name in SENTENCES or (isinstance(node, ast.Name) and name in told)
            case ast.Call(func=ast.Name(id="str" | "repr"), args=[ast.Name(id=name)]):
                return name in told or name in SENTENCES
            case ast.Call(func=ast.Name(id="str"), args=[inner]) | ast.Subscript(value=inner):
                return is_prose(inner)
            case ast.Call(func=ast.Attribute(value=inner, attr=method)) if method in SAME:
                return is_prose(inner)
        return False

    for node in nodes:
        found = False
        match node:
            case ast.Compare(left=left, ops=ops, comparators=others):
                for op, other in zip(ops, others, strict=True):
                    found |= isinstance(op, (ast.In, ast.NotIn)) and is_prose(other)
                    texts = [isinstance(each, ast.Constant) and isinstance(each.value, str) and bool(each.value) for each in (left, other)]
                    found |= isinstance(op, (ast.Eq, ast.NotEq)) and any(texts) and (is_prose(left) or is_prose(other))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re")), args=[_, *subjects]):
                found = any(map(is_prose, subjects))
            case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in SEARCHES:
                found = is_prose(value) and bool(node.args)  # split() without arguments only tidies the spaces
            case ast.Call(func=ast.Name(id="isinstance"), args=[value, kinds]):
                found = "evidence" in ast.unparse(value) and "str" in [part.id for part in ast.walk(kinds) if isinstance(part, ast.Name)]
        if found:
            yield ast.unparse(node)


def _of_errors(nodes: list[ast.AST]) -> set[str]:
    """Names of errors that are caught, and of what their texts are assigned to."""
    caught = {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
    texts = set()
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="str"), args=[ast.Name(id=error)])):
                if error in caught | SENTENCES:
                    texts.add(name)
    return caught | texts


def offences(trees: Mapping[Path, ast.Module]) -> set[tuple[Path, str]]:
    """The file and the expression of everything that decides by a sentence."""
    return {(path, found) for path, tree in trees.items() for found in searched(tree)}


def template_searches(source: str) -> list[int]:
    """Lines of a template that ask whether something is within a text or a list, or cut a text apart."""
    from jinja2 import Environment, nodes

    parsed = Environment().parse(source)
    compared = [node for node in parsed.find_all(nodes.Compare) if any(op.op in ("in", "notin") for op in node.ops)]
    cut = [node for node in parsed.find_all(nodes.Call) if isinstance(node.node, nodes.Getattr) and node.node.attr in SEARCHES]
    return sorted(node.lineno for node in (*compared, *cut))
