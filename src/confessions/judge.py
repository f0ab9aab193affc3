"""The weak judge: what pays the task span. It reads the answer y, never the reasoning z, never the confession."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from confessions.chat import Chat
from confessions.engines import Engine, Sampling
from confessions.prompts import load
from confessions.tasks.base import Spec, Task

VERDICT = re.compile(r"\b(pass|fail)\b", re.IGNORECASE)


class JudgeError(RuntimeError):
    """The judge gave no verdict that could be read. An error, never a reward."""


class Judge(ABC):
    @abstractmethod
    def passes(self, specs: Sequence[Spec], answers: Sequence[str]) -> list[bool]:
        """A verdict on each answer, in order. Raises JudgeError when one cannot be had."""


class LabelTrusting(Judge):
    """A deterministic weak grader that believes what the answer says about itself."""

    def __init__(self, task: Task):
        self.task = task

    def passes(self, specs: Sequence[Spec], answers: Sequence[str]) -> list[bool]:
        return [self.task.believes(spec, answer) for spec, answer in zip(specs, answers, strict=True)]


def read_verdict(reply: str) -> bool | None:
    """True for Pass, False for Fail; None when the reply holds neither word or both."""
    words = {word.lower() for word in VERDICT.findall(reply)}
    return words == {"pass"} if len(words) == 1 else None


class LanguageModelJudge(Judge):
    """A small language model as the weak grader; the prompt is prompts/judge.txt.

    The first attempt is greedy; replies that hold no verdict are asked for again, sampled at temperature 1, up to
    `max_attempts` in all.
    """

    def __init__(self, engine: Engine, chat: Chat, task: Task, max_attempts: int, max_new_tokens: int = 16):
        self.engine, self.chat, self.task = engine, chat, task
        self.max_attempts, self.max_new_tokens = max_attempts, max_new_tokens

    def prompt_ids(self, spec: Spec, answer: str) -> list[int]:
        text = load("judge").replace("{task}", self.task.prompt(spec)).replace("{answer}", answer)
        return self.chat.prompt_ids([{"role": "user", "content": text}])

    def passes(self, specs: Sequence[Spec], answers: Sequence[str]) -> list[bool]:
        prompts = [self.prompt_ids(spec, answer) for spec, answer in zip(specs, answers, strict=True)]
        verdicts: list[bool | None] = [None] * len(prompts)
        reply = ""
        for attempt in range(self.max_attempts):
            open_rows = [i for i, verdict in enumerate(verdicts) if verdict is None]
            if not open_rows:
                break
            sampling = Sampling(self.max_new_tokens, temperature=1.0 if attempt else 0.0)
            replies = self.engine.generate([prompts[i] for i in open_rows], sampling, [attempt] * len(open_rows))
            for i, completion in zip(open_rows, replies, strict=True):
                reply = self.chat.split(completion.ids).body
                verdicts[i] = read_verdict(reply)
        unread = [i for i, verdict in enumerate(verdicts) if verdict is None]
        if unread:
            raise JudgeError(
                f"the judge gave no verdict on {len(unread)} of {len(prompts)} answers in "
                f"{self.max_attempts} attempts; "
                f"the last reply was {reply[:80]!r}: raise judge.max_attempts or use a stronger judge"
            )
        return [bool(verdict) for verdict in verdicts]
