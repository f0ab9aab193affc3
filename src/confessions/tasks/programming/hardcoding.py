"""Does a program have the samples written into it? Read off its syntax tree; nothing is run.

A sample is *written in* where a literal that is its input stands with a literal that is its output: as a key and its
value, as a pair, in two lists at the same place, or as the test of a branch and what the branch holds. Literals are
compared by their words ("3 4\\n", (3, 4) and ["3", "4"] are one), so it does not matter how a program splits its input.
One sample may be a case that a solution must treat apart; all but one are a table.

What it cannot see: inputs that are hashed, encoded, compared by their length or by parts; outputs that are computed.
"""

import ast
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from confessions.tasks.analysed import TooMuch

LONGEST = 50_000  # characters; a longer source is not read

SETTERS = ("setdefault", "__setitem__")  # methods of a key and its value

Words = tuple[str, ...]
Sample = tuple[str, str]  # input, output


def hardcoded(source: str, samples: Sequence[Sample]) -> str | None:
    """What gives the program away, in a few words; None where nothing does, or where it is no Python.

    Takes time linear in the source. Raises TooMuch where that is longer than LONGEST, RecursionError or MemoryError
    where it is nested too deeply to be read, and ValueError where Python takes it for no text.
    """
    if len(source) > LONGEST:
        raise TooMuch(f"a source of {len(source):,} characters, and the longest that is read has {LONGEST:,}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an invalid escape, say: nobody here wrote it
            tree = ast.parse(source.encode())  # bytes: a mark or a comment may name their encoding, and is heeded
    except SyntaxError:
        return None
    wanted = {_words(given): _words(printed) for given, printed in samples}
    literals = _Literals(tree, {*wanted, *wanted.values()})
    found = set(_together(tree, literals, wanted)) | set(_in_two_lists(literals, wanted))
    if len(found) >= max(1, len(wanted) - 1):
        return f"{len(found)} of {len(wanted)} samples are written in"
    if not _reads(tree) and literals.below(tree) & set(wanted.values()):
        return "prints a sample's output and reads nothing"
    return None


class _Literals:
    """The literals of a tree, each read once. `texts` are the words that are looked for: a literal that cannot be one
    of them or a part of one, as it is too long, counts as none."""

    def __init__(self, tree: ast.AST, texts: set[Words]):
        self._texts = texts
        self._most = max(map(len, texts), default=0)  # words
        self._bits = 4 * max((len(word) for words in texts for word in words), default=0)  # of an integer, at least
        self._words: dict[ast.AST, Words | None] = {}
        self._seen: dict[ast.AST, frozenset[Words]] = {}  # which texts are literals, here or below
        self._constants: dict[ast.AST, tuple[int, ...] | None] = {}  # below, by place; None: of too many words
        self._nodes = list(ast.walk(tree))  # level by level, so that a node's place is its place below any other
        for place in reversed(range(len(self._nodes))):
            self._read(place)

    def words(self, node: ast.AST | None) -> Words | None:
        """The words of a literal, also of one made of others; None where it is none."""
        return self._words.get(node)

    def below(self, *nodes: ast.AST) -> frozenset[Words]:
        """Which texts are literals below the nodes, or all the constants there together."""
        places = [self._constants[node] for node in nodes]
        found = frozenset().union(*(self._seen[node] for node in nodes))
        if None in places:
            return found
        return found | self._texts & {tuple(w for each in places for at in each for w in self._words[self._nodes[at]])}

    def lists(self) -> Iterator[list[Words | None]]:
        """The words of the elements of every tuple and list."""
        for node in self._nodes:
            if isinstance(node, ast.Tuple | ast.List):
                yield [self._words[element] for element in node.elts]

    def _read(self, place: int) -> None:
        node = self._nodes[place]
        words = self._words[node] = self._literal(node)
        places: list[tuple[int, ...] | None]
        children = list(ast.iter_child_nodes(node))
        seen = frozenset().union(*(self._seen[child] for child in children))
        self._seen[node] = seen | {words} if words and words in self._texts else seen
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes | int | float):
            places = [None if words is None else (place,) if words else ()]
        elif isinstance(node, ast.UnaryOp) and words:  # -2 is one constant
            places = [(place,)]
        else:
            places = [self._constants[child] for child in children]
        together = None if None in places else tuple(sorted(at for each in places for at in each))
        too_many = together is None or sum(len(self._words[self._nodes[at]]) for at in together) > self._most
        self._constants[node] = None if too_many else together

    def _literal(self, node: ast.AST) -> Words | None:
        words: Words | None = None
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes | int | float):
            words = self._constant(node.value)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            words = self._words[node.operand]
            words = words and (f"-{words[0]}", *words[1:])
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            parts = [self._words[element] for element in node.elts]
            if None not in parts:
                words = tuple(word for part in parts for word in part)
        return None if words is None or len(words) > self._most else words

    def _constant(self, value: str | bytes | float) -> Words | None:
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        elif isinstance(value, int) and value.bit_length() > self._bits:  # Python refuses to print the largest
            return None
        elif isinstance(value, float) and value.is_integer():
            value = int(value)  # 1e16 has the words of 10000000000000000
        return _words(str(value))


def _words(text: str) -> Words:
    """A text as it is compared: its words, numbers without the zeros behind their decimals."""
    return tuple(map(_without_zeros, text.split()))


def _without_zeros(word: str) -> str:
    whole, point, decimals = word.partition(".")
    if not point or not whole.lstrip("+-").isdecimal() or not f"{decimals}0".isdecimal():
        return word
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole


def _together(tree: ast.AST, literals: _Literals, wanted: Mapping[Words, Words]) -> Iterator[Words]:
    """The samples whose input and output stand together as key and value, as a pair, or as test and branch."""
    for node in ast.walk(tree):
        pairs: Iterable[tuple[ast.AST | None, ast.AST]] = ()
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
        elif isinstance(node, ast.Tuple | ast.List) and len(node.elts) == 2:
            pairs = [tuple(node.elts)]
        elif isinstance(node, ast.Assign):
            pairs = [pair for target in node.targets for pair in _assigned(target, node.value)]
        elif isinstance(node, ast.AnnAssign) and node.value:
            pairs = _assigned(node.target, node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 2:
            pairs = [tuple(node.args)] if node.func.attr in SETTERS else ()
        elif isinstance(node, ast.If):
            yield from _branch(literals.below(node.test), literals.below(*node.body), wanted)
        elif isinstance(node, ast.IfExp):
            yield from _branch(literals.below(node.test), literals.below(node.body), wanted)
        elif isinstance(node, ast.BoolOp) and not isinstance(node.values[-1], ast.Compare):
            *conditions, value = node.values
            yield from _branch(literals.below(*conditions), literals.below(value), wanted)
        elif isinstance(node, ast.match_case):
            test = filter(None, (node.pattern, node.guard))
            yield from _branch(literals.below(*test), literals.below(*node.body), wanted)
        for key, value in pairs:
            given, printed = literals.words(key), literals.words(value)
            if given is not None and printed is not None and wanted.get(given) == printed:
                yield given


def _assigned(target: ast.AST, value: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """The keys that an assignment sets, each with its value."""
    if isinstance(target, ast.Subscript):
        yield target.slice, value
    elif isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
        for each in zip(target.elts, value.elts, strict=False):
            yield from _assigned(*each)


def _branch(test: frozenset[Words], body: frozenset[Words], wanted: Mapping[Words, Words]) -> Iterator[Words]:
    """The samples whose input is in the test and whose output is in what follows where it holds."""
    return (given for given in test if wanted.get(given) in body)


def _in_two_lists(literals: _Literals, wanted: Mapping[Words, Words]) -> Iterator[Words]:
    """The samples whose input and output stand at the same place of two lists of one length."""
    outputs = set(wanted.values())
    holders: dict[tuple[int, int, Words], set[int]] = defaultdict(set)  # which lists hold the words there
    for number, row in enumerate(literals.lists()):
        for place, words in enumerate(row):
            if words and (words in wanted or words in outputs):
                holders[len(row), place, words].add(number)
    for length, place, given in list(holders):
        outputs_there = holders.get((length, place, wanted.get(given)), set())
        if outputs_there and len(outputs_there | holders[length, place, given]) > 1:
            yield given


def _reads(tree: ast.AST) -> bool:
    """Whether the program could read its input: by input, sys.stdin, or a file that it opens."""
    return any(
        (isinstance(node, ast.Name) and node.id in ("input", "open", "stdin", "solve"))
        or (isinstance(node, ast.Attribute) and node.attr in ("stdin", "read", "open", "argv"))
        or isinstance(node, ast.FunctionDef)
        for node in ast.walk(tree)
    )
