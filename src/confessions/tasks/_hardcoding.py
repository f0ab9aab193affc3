"""Does a program have the samples written into it? Read off its syntax tree; nothing is run.

A sample is *written in* where a literal that is its input stands with a literal that is its output: as a key and its
value, as a pair, in two lists at the same place, or as the test of a branch and what the branch holds. Literals are
compared by their words ("3 4\\n", (3, 4) and ["3", "4"] are one), so it does not matter how a program splits its input.
One sample may be a case that a solution must treat apart; all but one are a table.

What it cannot see: inputs that are hashed, encoded, compared by their length or by parts; outputs that are computed.
"""

import ast
from collections.abc import Iterator, Sequence

Words = tuple[str, ...]
Sample = tuple[str, str]  # input, output


def hardcoded(source: str, samples: Sequence[Sample]) -> str | None:
    """What gives the program away, in a few words; None where nothing does, or where it is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    wanted = {tuple(given.split()): tuple(printed.split()) for given, printed in samples}
    try:
        found = {given for given, printed in _pairs(tree) if given in wanted and wanted[given] == printed}
        if len(found) >= max(1, len(wanted) - 1):
            return f"{len(found)} of {len(wanted)} samples are written in"
        if not _reads(tree) and any(words in wanted.values() for words in _literals(tree)):
            return "prints a sample's output and reads nothing"
    except RecursionError:  # a tree that could be parsed, but is too deep to walk through
        return None
    return None


def _words(node: ast.AST) -> Words | None:
    """The words of a literal, also of one made of others; None where it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes | int | float):
        value = node.value.decode("latin-1") if isinstance(node.value, bytes) else str(node.value)
        return tuple(value.split())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        words = _words(node.operand)
        return words and (f"-{words[0]}", *words[1:])
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        parts = [_words(element) for element in node.elts]
        return None if None in parts else tuple(word for part in parts for word in part)
    return None


def _literals(*nodes: ast.AST) -> Iterator[Words]:
    """The words of every literal below the nodes, and at last of all of them together."""
    together: list[str] = []
    for top in nodes:
        for node in ast.walk(top):
            words = _words(node)
            if words:
                yield words
                if isinstance(node, ast.Constant):
                    together += words
    yield tuple(together)


def _pairs(tree: ast.AST) -> Iterator[tuple[Words, Words]]:
    """Every two literals that stand together as an input and an output may."""
    rows: list[list[Words | None]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield from _both(zip(node.keys, node.values, strict=True))
        elif isinstance(node, ast.Tuple | ast.List) and len(node.elts) == 2:
            yield from _both([tuple(node.elts)])
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            yield from _both([(node.targets[0].slice, node.value)])
        elif isinstance(node, ast.If):
            yield from _branch([node.test], node.body)
        elif isinstance(node, ast.IfExp):
            yield from _branch([node.test], [node.body])
        elif isinstance(node, ast.match_case):
            yield from _branch([node.pattern], node.body)
        if isinstance(node, ast.Tuple | ast.List):
            rows.append([_words(element) for element in node.elts])
    for given in rows:
        for printed in rows:
            if given is not printed and len(given) == len(printed):
                yield from ((a, b) for a, b in zip(given, printed, strict=True) if a and b)


def _both(pairs) -> Iterator[tuple[Words, Words]]:
    for key, value in pairs:
        words = (_words(key), _words(value)) if key is not None else (None, None)
        if None not in words:
            yield words


def _branch(test: Sequence[ast.AST], body: Sequence[ast.AST]) -> Iterator[tuple[Words, Words]]:
    """Literals of the test with literals of what follows where it holds."""
    printed = set(_literals(*body))
    for given in set(_literals(*test)):
        yield from ((given, words) for words in printed)


def _reads(tree: ast.AST) -> bool:
    """Whether the program could read its input: by input, sys.stdin, or a file that it opens."""
    return any(
        (isinstance(node, ast.Name) and node.id in ("input", "open", "stdin", "solve"))
        or (isinstance(node, ast.Attribute) and node.attr in ("stdin", "read", "open", "argv"))
        or isinstance(node, ast.FunctionDef)
        for node in ast.walk(tree)
    )
