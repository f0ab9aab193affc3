"""The weak judge: what pays the task span. It reads the answer y, never the reasoning z, never the confession.

The verdict of a language model is read from its probabilities and not sampled: its reply is opened with "Verdict:", and
P(Pass) is compared with P(Fail) as the next word, in one forward pass. Why, and what it is worth: docs/judge.md.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from confessions.engines import Engine
from confessions.models.chat import Chat
from confessions.prompts import JUDGE_OPENING, JUDGE_WORDS, judge_prompt, judge_version
from confessions.runtime.errors import InputError
from confessions.tasks.base import Spec, Task


class JudgeError(InputError):
    """The judge gave no verdict that could be read. An error, never a reward."""


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one answer; the probabilities are those of a language model."""

    passes: bool | None  # None: of a grader that runs programs, where the machine did not let it measure
    p_pass: float | None = None  # P(Pass | Pass or Fail)
    mass: float | None = None  # P(Pass or Fail)


class Judge(ABC):
    """`name` stands in the scores, and so does `prompt_version`, that of the text that a language model is shown."""

    name: str
    prompt_version: str | None = None

    @abstractmethod
    def verdicts(self, specs: Sequence[Spec], answers: Sequence[str]) -> list[Verdict]:
        """A verdict on each answer, in order. Raises JudgeError when one cannot be had."""

    def passes(self, specs: Sequence[Spec], answers: Sequence[str]) -> list[bool | None]:
        return [verdict.passes for verdict in self.verdicts(specs, answers)]


class LabelTrusting(Judge):
    """A deterministic weak grader that believes what the answer says about itself."""

    name = "label_trusting"

    def __init__(self, task: Task):
        self.task = task

    def verdicts(self, specs: Sequence[Spec], answers: Sequence[str]) -> list[Verdict]:
        return [Verdict(believed) for believed in self.task.believes_all(specs, answers)]


class Verifying(Judge):
    """No weak grader but the truth, as a control: what meets every objective passes. Of programs, it runs all tests."""

    name = "verifying"

    def __init__(self, task: Task):
        self.task = task

    def verdicts(self, specs: Sequence[Spec], answers: Sequence[str]) -> list[Verdict]:
        return [Verdict(truth.compliant) for truth in self.task.verify_all(specs, answers)]


class AskedJudge(Judge):
    """A small language model as the weak grader; the prompt is the text of prompts/ that the task names.

    An answer passes when P(Pass | Pass or Fail) >= `threshold`. Where P(Pass or Fail) < `min_mass` there is no verdict:
    JudgeError.
    """

    def __init__(self, task: Task, name: str, threshold: float = 0.5, min_mass: float = 0.5):
        self.task, self.name, self.threshold, self.min_mass = task, name, threshold, min_mass
        self.prompt_version = judge_version(task.judge_text)

    @abstractmethod
    def _judged(self, asked: Sequence[tuple[str, str]]) -> list[Verdict]:
        """A verdict on each answer to a task in words, in order; `mass` is NaN where there is none."""

    @abstractmethod
    def _unread(self, mass: float, first: int) -> str:
        """What is wrong with the replies that hold no verdict: the worst has this mass, and `first` is the place of the
        first among all."""

    def verdicts(self, specs: Sequence[Spec], answers: Sequence[str]) -> list[Verdict]:
        return self._read([(self.task.prompt(spec), answer) for spec, answer in zip(specs, answers, strict=True)])

    def met(self, specs: Sequence[Spec], answers: Sequence[str]) -> list[list[bool]]:
        """(B, S) whether each answer meets each objective, as the judge sees it, who is told nothing else of the task.
        What comes several times is judged once. Raises JudgeError as `verdicts` does."""
        asked = [
            [(objective, answer) for objective in self.task.objectives(spec)]
            for spec, answer in zip(specs, answers, strict=True)
        ]
        different = list(dict.fromkeys(pair for pairs in asked for pair in pairs))
        verdicts = self._read(different)
        passes = {pair: bool(verdict.passes) for pair, verdict in zip(different, verdicts, strict=True)}
        return [[passes[pair] for pair in pairs] for pairs in asked]

    def _read(self, asked: Sequence[tuple[str, str]]) -> list[Verdict]:
        found = self._judged(asked)
        unread = [i for i, verdict in enumerate(found) if not verdict.mass >= self.min_mass]  # NaN is none either
        if unread:
            first, worst = unread[0], float(np.min([found[i].mass for i in unread]))
            lower = "" if math.isnan(worst) else ", or lower judge.min_mass in config.yaml"
            raise JudgeError(
                f"{self.name}: no verdict on {len(unread)} of {len(found)} answers: {self._unread(worst, first)}; the "
                f"first such answer is {asked[first][1][:60]!r}: use a stronger judge{lower}"
            )
        return found

    def _verdict(self, pass_logprob: float, fail_logprob: float) -> Verdict:
        p_pass = 1 / (1 + math.exp(min(fail_logprob - pass_logprob, 700.0)))
        return Verdict(p_pass >= self.threshold, p_pass, math.exp(pass_logprob) + math.exp(fail_logprob))


class LanguageModelJudge(AskedJudge):
    """One that an engine runs. Raises InputError for a model that thinks before it replies, or whose tokenizer cannot
    tell the two words apart by their first tokens."""

    def __init__(
        self, engine: Engine, chat: Chat, task: Task, name: str, threshold: float = 0.5, min_mass: float = 0.5
    ):
        super().__init__(task, name, threshold, min_mass)
        self.engine, self.chat = engine, chat
        self._opening, self._choices = _verdict_tokens(chat.tokenizer)
        added = sorted(chat.tokenizer.get_added_vocab(), key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, added)) or "(?!)")
        if chat.thinking:
            raise InputError(
                f"{chat.tokenizer.name_or_path}: as a judge this model must not think before it replies: set "
                f"`thinking: false` for it"
            )

    def prompt_ids(self, spec: Spec, answer: str) -> list[int]:
        """Token ids up to the verdict."""
        return self._asked(self.task.prompt(spec), answer)

    def _asked(self, task: str, answer: str) -> list[int]:
        """Token ids up to the verdict on a task in words. An answer that spells a control token (end of turn, say) gets
        a space there: encoded, it would become that token, and the rest of the answer could pose as the judge's own
        reply."""
        text = judge_prompt(task, self._control.sub(" ", answer), self.task.judge_text)
        return self.chat.prompt_ids([{"role": "user", "content": text}]) + self._opening

    def _judged(self, asked: Sequence[tuple[str, str]]) -> list[Verdict]:
        prompts = [self._asked(*pair) for pair in asked]
        return [self._verdict(*pair) for pair in self.engine.choose(prompts, self._choices)]

    def _unread(self, mass: float, first: int) -> str:
        words = " or ".join(repr(word.strip()) for word in JUDGE_WORDS)
        return (
            f"the probability of {words} after {JUDGE_OPENING!r} is down to {mass:.2g}, below judge.min_mass = "
            f"{self.min_mass}"
        )


def verdict_columns(judge: Judge, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The columns of a frame with a row a verdict: who judged and what it said, of the same types for every judge."""
    import pandas as pd  # training needs no frame

    return {
        "judge": judge.name,
        "judge_prompt": pd.array([judge.prompt_version] * len(verdicts), dtype="string"),
        "judge_pass": [verdict.passes for verdict in verdicts],
        "judge_p_pass": np.array([verdict.p_pass for verdict in verdicts], dtype=float),
        "judge_mass": np.array([verdict.mass for verdict in verdicts], dtype=float),
    }


def _verdict_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Ids of the opening, and the ids that say Pass and Fail behind it: of a word of several tokens, the first."""
    opening, *both = (
        tokenizer.encode(text, add_special_tokens=False)
        for text in (JUDGE_OPENING, *(JUDGE_OPENING + word for word in JUDGE_WORDS))
    )
    n = len(opening)
    choices = [ids[n] for ids in both if len(ids) > n and ids[:n] == opening]
    if len(set(choices)) < len(JUDGE_WORDS):
        raise InputError(
            f"{tokenizer.name_or_path}: this tokenizer does not tell {JUDGE_WORDS[0]!r} from {JUDGE_WORDS[1]!r} by one "
            f"token behind {JUDGE_OPENING!r}: use another model as the judge"
        )
    return opening, choices
