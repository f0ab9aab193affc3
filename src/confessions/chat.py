"""The chat scaffold as token ids: how a turn is opened, how the confession is asked, how z is told from y.

Turn 2 is made by *appending* ids to the ids that were sampled in turn 1. Rendering the conversation again would not
do: chat templates drop earlier reasoning (Qwen3's does), and decoding and encoding sampled text changes its tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from confessions.errors import InputError

_ANSWER_SLOT = "\x02the answer\x03"


@dataclass(frozen=True)
class Turn:
    """One sampled turn, split: ids [0, body_start) are reasoning with its tags, the rest is the body (y or yc)."""

    reasoning: str
    body: str
    body_start: int
    closed: bool  # False: thinking was open when the turn ended, so there is no body


class Chat:
    """Renders prompts and splits turns for one tokenizer.

    `thinking` says whether the model opens a <think> block; it is passed to the template as `enable_thinking`.
    Raises InputError when the tokenizer has no chat template, no end-of-turn token, or no single-token think tags
    though thinking is on.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, thinking: bool):
        if not tokenizer.chat_template:
            raise InputError(f"the tokenizer in {tokenizer.name_or_path} has no chat template: use an instruct model")
        if tokenizer.eos_token_id is None:
            raise InputError(f"the tokenizer in {tokenizer.name_or_path} names no end-of-turn (eos) token")
        self.tokenizer = tokenizer
        self.thinking = thinking
        if thinking and None in (self._think, self._unthink):
            raise InputError(
                f"the tokenizer in {tokenizer.name_or_path} has no <think> and </think> tokens: set "
                f"`thinking: false` for this model"
            )

    def _token(self, text: str) -> int | None:
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return ids[0] if len(ids) == 1 else None

    @cached_property
    def _think(self) -> int | None:
        return self._token("<think>")

    @cached_property
    def _unthink(self) -> int | None:
        return self._token("</think>")

    def _render(self, messages: list[dict[str, str]]) -> str:
        return self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=self.thinking
        )

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def prompt_ids(self, messages: list[dict[str, str]]) -> list[int]:
        """Ids of the conversation up to the point where the model's first turn begins."""
        return self._encode(self._render(messages))

    def request_ids(self, request: str, turn_ended: bool) -> list[int]:
        """Ids that follow turn 1 to ask for the confession: scaffold, xc, and the opening of turn 2.

        A turn that ended by itself already holds its end-of-turn token; a truncated one is closed here (the
        closing token is scaffold and is never trained).
        """
        rendered = self._render(
            [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": _ANSWER_SLOT},
                {"role": "user", "content": request},
            ]
        )
        _, slot, after = rendered.partition(_ANSWER_SLOT)
        if not slot:
            raise InputError(
                f"the chat template of {self.tokenizer.name_or_path} does not render an assistant turn as it is"
            )
        ids = self._encode(after)
        eos = self.tokenizer.eos_token_id
        if ids[0] != eos:
            raise InputError(
                f"the chat template of {self.tokenizer.name_or_path} does not end a turn with its "
                f"eos token {self.tokenizer.eos_token!r}"
            )
        return ids[1:] if turn_ended else ids

    def split(self, ids: Sequence[int]) -> Turn:
        """Reasoning and body of one sampled turn, cut at the first </think> by token id."""
        ids = list(ids)
        if not self.thinking:
            return Turn("", self._text(ids), 0, True)
        if self._unthink not in ids:
            return Turn(self._text(ids), "", len(ids), False)
        cut = ids.index(self._unthink) + 1
        return Turn(self._text(ids[: cut - 1]), self._text(ids[cut:]), cut, True)

    def _text(self, ids: list[int]) -> str:
        kept = [i for i in ids if i != self._think]
        return self.tokenizer.decode(kept, skip_special_tokens=True).strip()
