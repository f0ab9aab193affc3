"""Sums and differences in a text: what Countdown's answers state, and what they are worth."""

import re
from dataclasses import dataclass
from itertools import accumulate, pairwise

_GAP = r"[ \t]*"
_SIGN = "[-+−]"
# A sum and, where there is one, the result behind it. A sum without a result is matched too, and whole: were the search
# to go on at its second number, a long one would be read once for each of its numbers.
_EQUATION = re.compile(
    rf"(?<![\w.])(?P<sum>\d{{1,4}}+(?:{_GAP}{_SIGN}{_GAP}\d{{1,4}}+)++)"
    rf"(?:{_GAP}={_GAP}(?P<stated>-?\d{{1,6}})(?![\w.]*\d))?"
)
_TERM = re.compile(rf"({_SIGN})?{_GAP}(\d+)")
_STEP = re.compile(rf"(?<![\w.])(-?\d{{1,6}}){_GAP}({_SIGN}){_GAP}(\d{{1,4}}){_GAP}={_GAP}(-?\d{{1,6}})(?![\w.]*\d)")


@dataclass(frozen=True)
class Equation:
    """A sum as it stands in a text, and the result that the text gives it."""

    terms: tuple[int, ...]  # in order, with their signs
    stated: int

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers used, without signs."""
        return tuple(map(abs, self.terms))

    @property
    def value(self) -> int:
        return sum(self.terms)

    @property
    def steps(self) -> list[str]:
        """The sum worked out: `a+b=r` for each term behind the first."""
        totals = list(accumulate(self.terms))
        return [f"{a}{term:+d}={b}" for (a, b), term in zip(pairwise(totals), self.terms[1:], strict=True)]

    def __str__(self) -> str:
        first, *rest = self.terms
        return f"{first}{''.join(f'{term:+d}' for term in rest)}={self.stated}"


def equations(text: str) -> list[Equation]:
    """Every `a+b-c=r` of the text, in order; numbers of up to four digits."""
    return [
        Equation(
            tuple(int(number) * (-1 if sign and sign != "+" else 1) for sign, number in _TERM.findall(found["sum"])),
            int(found["stated"]),
        )
        for found in _EQUATION.finditer(text)
        if found["stated"]
    ]


def works_out(reasoning: str, terms: tuple[int, ...]) -> bool:
    """Whether the reasoning adds the terms up one by one: every step `a+b=r` of it is there, and right."""
    totals = list(accumulate(terms))
    wanted = [(a, term, b) for (a, b), term in zip(pairwise(totals), terms[1:], strict=True)]
    steps = (
        (int(a), int(b) * (1 if sign == "+" else -1), int(result)) for a, sign, b, result in _STEP.findall(reasoning)
    )
    return bool(wanted) and all(any(step == want for step in steps) for want in wanted)
