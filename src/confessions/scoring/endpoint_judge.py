"""A language model that Inspect asks as the weak judge (docs/judge.md): it writes its verdict, which is read from the
probabilities of the word where the endpoint gives them, and else is the word itself."""

import math
import re
from collections.abc import Sequence

from confessions.engines.endpoint import Endpoint, EndpointError, Reply
from confessions.prompts import JUDGE_OPENING, JUDGE_WORDS, judge_prompt
from confessions.scoring.judge import AskedJudge, Verdict
from confessions.tasks.base import Task

PASS, FAIL = (word.strip().lower() for word in JUDGE_WORDS)
WORDS = rf"({PASS}|{FAIL})"
LINE = re.compile(rf"{JUDGE_OPENING.rstrip(':')}\W+{WORDS}\b", re.IGNORECASE)
ALONE = re.compile(rf"^\W*{WORDS}\W*(<[^<>]+>)?$", re.IGNORECASE)  # some endpoints show the token that ends it
CONTROL = re.compile(r"<\|[^|<>\s]+\|>")  # how most models spell the end of a turn
REPLY = {"temperature": 0.0, "max_tokens": 2048}  # tokens: some models think first
PROBABILITIES = {"logprobs": True, "top_logprobs": 5}  # some endpoints give no more
NONE = Verdict(None, None, math.nan)
REFUSED = (400, 404, 422)  # of HTTP, where an endpoint does not know a setting


class EndpointJudge(AskedJudge):
    """`name` ends in (parsed) where the last verdicts were words, which have P(Pass) 1 or 0 and mass 1."""

    def __init__(self, endpoint: Endpoint, task: Task, name: str, threshold: float = 0.5, min_mass: float = 0.5):
        super().__init__(task, name, threshold, min_mass)
        self.endpoint, self._called, self._more = endpoint, name, PROBABILITIES
        self._said: list[str] = []  # the last replies

    def _judged(self, asked: Sequence[tuple[str, str]]) -> list[Verdict]:
        replies = self._replies([judge_prompt(task, CONTROL.sub(" ", y), self.task.judge_text) for task, y in asked])
        self._said = [reply.text for reply in replies]
        parsed = any(reply.logprobs is None for reply in replies)
        self.name = f"{self._called} (parsed)" if parsed else self._called
        return [self._of_word(reply.text) if parsed else self._of_tokens(reply) for reply in replies]

    def _replies(self, prompts: Sequence[str]) -> list[Reply]:
        """An endpoint that takes no question for probabilities is asked without it from then on."""
        asked = [[{"role": "user", "content": prompt}] for prompt in prompts]
        try:
            return self.endpoint.generate(asked, [REPLY | self._more] * len(asked))
        except EndpointError as error:
            if not self._more or error.status not in REFUSED:
                raise
        self._more = {}
        return self.endpoint.generate(asked, [REPLY] * len(asked))

    def _of_word(self, text: str) -> Verdict:
        said = _verdict_in(text)
        if said is None:
            return NONE
        passes = said[1].lower() == PASS
        return Verdict(passes, float(passes), 1.0)

    def _of_tokens(self, reply: Reply) -> Verdict:
        """By the token in which the verdict's word begins, and those that were likely in its place."""
        said = _verdict_in("".join(token.token for token in reply.logprobs))
        if said is None:
            return NONE
        behind = said.start(1)
        for token in reply.logprobs:
            behind -= len(token.token)
            if behind < 0:
                break
        likely = {other.token: other.logprob for other in (token, *(token.top_logprobs or ()))}
        sums = [
            sum(math.exp(logprob) for text, logprob in likely.items() if _begins(text, word)) for word in (PASS, FAIL)
        ]
        if not any(sums):
            return NONE
        return self._verdict(*(math.log(p) if p else -math.inf for p in sums))

    def _unread(self, mass: float, first: int) -> str:
        lines = " or ".join(repr(f"{JUDGE_OPENING}{word}") for word in JUDGE_WORDS)
        wrong = f"down to {mass:.2g}, below judge.min_mass = {self.min_mass}"
        what = f"there is no {lines}" if math.isnan(mass) else f"the probability of {lines} is {wrong},"
        return f"{what} in its reply {self._said[first][:60]!r}"


def _verdict_in(text: str) -> re.Match[str] | None:
    """The last verdict in a reply, or the reply that is nothing but its word."""
    found = [*LINE.finditer(text)]
    return found[-1] if found else ALONE.match(text)


def _begins(token: str, word: str) -> bool:
    """Whether a token is the beginning of a word, or all of it and more. The two words begin with different letters."""
    letters = re.sub(r"\W", "", token).lower()
    return bool(letters) and (word.startswith(letters) or letters.startswith(word))
