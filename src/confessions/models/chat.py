"""The chat scaffold as token ids: how a turn is opened, how the confession is asked, how z is told from y.

Turn 2 is made by *appending* ids to the ids that were sampled in turn 1. Rendering the conversation again would not
do: chat templates drop earlier reasoning (Qwen3's does), and decoding and encoding sampled text changes its tokens.
What differs between families of models is read off their templates and vocabularies (docs/models.md).
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from confessions.runtime.errors import InputError, first_line

THINK, UNTHINK = "<think>", "</think>"
TEMPLATE = "chat_template.jinja"
# Put in front of a template that has no system role, or leaves what it says out.
SYSTEM_AS_USER = """\
{#- The system prompt stands in front of the first user message. -#}
{%- if messages and messages[0]['role'] == 'system' -%}
{%- set first = {'role': 'user', 'content': messages[0]['content'] + '\\n\\n' + messages[1]['content']} -%}
{%- set messages = [first] + messages[2:] -%}
{%- endif -%}
"""
_ANSWER_SLOT = "\x02the answer\x03"


def takes_system_as_user(folder: Path) -> bool:
    """Whether the template of a model folder was given SYSTEM_AS_USER."""
    file = folder / TEMPLATE
    return file.is_file() and file.read_text(encoding="utf-8", errors="replace").startswith(SYSTEM_AS_USER)


@dataclass(frozen=True)
class Turn:
    """One sampled turn, split: ids [0, body_start) are reasoning with its tags, the rest is the body (y or yc)."""

    reasoning: str
    body: str
    body_start: int
    closed: bool  # False: thinking was open when the turn ended, so there is no body


class Chat:
    """Renders prompts and splits turns for one tokenizer.

    `thinking` says whether the model reasons in a <think> block; it is passed to the template as `enable_thinking`.
    `keep_thinking=False` leaves the reasoning of turn 1 out of turn 2's prompt; `paraphrases` are sentences of it that
    turn 2's prompt has in other words. `eos` are ids that end a turn besides
    the tokenizer's own (models.load_chat takes them from generation_config.json). Raises InputError when the
    tokenizer has no chat template or no end-of-turn token, or when the template opens a <think> block though thinking
    is off.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        thinking: bool,
        keep_thinking: bool = True,
        eos: Iterable[int] = (),
        paraphrases: Mapping[str, str] = {},
    ):
        self.tokenizer, self.thinking, self.keep_thinking = tokenizer, thinking, keep_thinking
        self.paraphrases = paraphrases
        self._spelt: dict[int, str] = {}
        if not tokenizer.chat_template:
            raise InputError(f"{self._name} has no chat template: use an instruct model")
        if tokenizer.eos_token_id is None:
            raise InputError(f"{self._name} names no end-of-turn (eos) token")
        self._given_eos = {tokenizer.eos_token_id, *eos}
        if self._opener and not thinking:
            raise InputError(
                f"the chat template of {tokenizer.name_or_path} opens a {THINK} block in every reply: "
                "set `thinking: true` for this model"
            )

    def keeping(self, keep_thinking: bool, paraphrases: Mapping[str, str] = {}) -> "Chat":
        """The same chat, with or without the reasoning of turn 1 in turn 2's prompt, or with some of it paraphrased."""
        return Chat(self.tokenizer, self.thinking, keep_thinking, self._given_eos, paraphrases)

    @property
    def _name(self) -> str:
        return f"the tokenizer in {self.tokenizer.name_or_path}"

    # -- prompts -------------------------------------------------------------------------------------------------------

    def _render(self, messages: list[dict[str, str]]) -> str:
        """The conversation as text. Raises InputError where the template is none, or refuses the conversation."""
        try:
            rendered = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=self.thinking
            )
            rendered.encode()  # half a surrogate pair has no ids
            return rendered
        except Exception as error:  # a template is a program, and may end in any way
            roles = ", ".join(message["role"] for message in messages)
            raise InputError(
                f"the chat template of {self.tokenizer.name_or_path} cannot be used for {roles} ({first_line(error)}): "
                "copy the model's own chat_template.jinja there, or use another instruct model"
            ) from None

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def prompt_ids(self, messages: list[dict[str, str]]) -> list[int]:
        """Ids of the conversation up to the point where the model's first turn begins."""
        return self._encode(self._render(messages))

    @cached_property
    def _opener(self) -> list[int]:
        """The ids with which the template itself opens the block of reasoning, the last of every prompt (OLMo-3
        Think); none where the model does so (Qwen3)."""
        rendered = self._render([{"role": "user", "content": "x"}])
        if not rendered.rstrip().endswith(THINK):
            return []
        return self._encode(rendered)[len(self._encode(rendered[: rendered.rindex(THINK)])) :]

    def _after_answer(self, request: str) -> list[int]:
        """Ids of what the template writes behind an answer: its end, the request, the opening of the next turn."""
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
        if not ids or (ids[0] not in self._given_eos and ids[0] not in self.tokenizer.added_tokens_decoder):
            raise InputError(
                f"the chat template of {self.tokenizer.name_or_path} does not end a turn with its "
                f"eos token {self.tokenizer.eos_token!r} or another special token"
            )
        return ids

    @cached_property
    def end_of_turn(self) -> int:
        """The id that closes a turn in the history. The tokenizer's eos may be another one (OLMo-3)."""
        return self._after_answer("x")[0]

    @cached_property
    def eos(self) -> list[int]:
        """Every id that ends a turn, for the engines: the template's, the tokenizer's and those given."""
        return sorted({self.end_of_turn, *self._given_eos})

    def request_ids(self, request: str, turn_ended: bool) -> list[int]:
        """Ids that follow turn 1 to ask for the confession: scaffold, xc, and the opening of turn 2.

        A turn that ended with the template's own token already holds it; one that was cut, or ended with another of
        the model's end tokens, is closed here (the closing token is scaffold and is never trained).
        """
        ids = self._after_answer(request)
        return ids[1:] if turn_ended else ids

    def follow_up(self, prompt: Sequence[int], turn: Sequence[int], request: str) -> tuple[list[int], list[int]]:
        """Turn 2's prompt in two parts: the conversation so far, and the ids that ask for the confession."""
        context = self.context(prompt, turn)
        return context, self.request_ids(request, context[-1] == self.end_of_turn)

    def context(self, prompt: Sequence[int], turn: Sequence[int]) -> list[int]:
        """The ids of x and turn 1 as turn 2 sees them.

        With `keep_thinking` these are exactly prompt + turn, but for what is paraphrased. Without, the ids up to the
        closing tag, the blank lines behind it and an opening tag in the prompt are left out, as templates that forget
        reasoning do it.
        """
        if self.keep_thinking or not self.thinking:
            return [*prompt, *self.paraphrased(turn)]
        body = list(turn[self.split(turn).body_start :])
        while body and not self.tokenizer.decode(body[:1]).strip():
            body = body[1:]
        return [*prompt[: len(prompt) - len(self._opener)], *body]

    def paraphrased(self, turn: Sequence[int]) -> list[int]:
        """The ids of turn 1, with the sentences of its reasoning that `paraphrases` knows in other words. Only the ids
        that spell such a sentence are others; those around it are the sampled ones."""
        cut = self.split(turn).body_start if self.paraphrases else 0
        ids, rest = list(turn[:cut]), turn[cut:]
        for said, instead in self.paraphrases.items():
            while said in self.tokenizer.decode(ids):
                n = len(ids)
                end = bisect_left(range(n), True, key=lambda k: said in self.tokenizer.decode(ids[:k]))
                behind = bisect_left(range(end), True, key=lambda k: said not in self.tokenizer.decode(ids[k:end]))
                spelt = self.tokenizer.decode(ids[behind - 1 : end])
                ids[behind - 1 : end] = self._encode(spelt.replace(said, instead))
        return [*ids, *rest]

    def turn_ids(self, reasoning: str, body: str) -> list[int]:
        """Ids of a turn that a corpus wrote, laid out as the model would have sampled it, to train on. Nothing that was
        sampled comes here. Without thinking the reasoning is left out."""
        if not self.thinking:
            return [*self._encode(body.strip()), self.end_of_turn]
        opened = "" if self._opener else THINK
        return [*self._encode(f"{opened}{reasoning}\n{UNTHINK}\n{body}"), self.end_of_turn]

    # -- turns ---------------------------------------------------------------------------------------------------------

    def split(self, ids: Sequence[int]) -> Turn:
        """Reasoning and body of one sampled turn, cut behind the id that completes the first </think>.

        The tag may be one id (Qwen3) or several, the last of which can hold the line break too (OLMo-3). A turn that
        neither the template nor the model opened with <think> has no reasoning: all of it is body.
        """
        ids = list(ids)
        if not self.thinking:
            return Turn("", self._text(ids), 0, True)
        cut = self._end_of_thinking(ids)
        if cut is None:
            if self._opener or self.tokenizer.decode(ids).lstrip().startswith(THINK):
                return Turn(self._text(ids), "", len(ids), False)
            return Turn("", self._text(ids), 0, True)
        reasoning, _, rest = self._text(ids[:cut]).partition(UNTHINK)
        return Turn(reasoning.strip(), (rest + self._text(ids[cut:])).strip(), cut, True)

    def _end_of_thinking(self, ids: list[int]) -> int | None:
        """How many ids it takes to complete the first </think>; None when they never do.

        Looked for in the tokens' own spelling, in which ASCII stands for itself; nothing is encoded.
        """
        pieces = [piece or "" for piece in self.tokenizer.convert_ids_to_tokens(ids)]
        at = "".join(pieces).find(UNTHINK)
        if at < 0:
            return None
        length = 0
        for number, piece in enumerate(pieces, 1):
            length += len(piece)
            if length >= at + len(UNTHINK):
                return number
        raise AssertionError("the tag lies within the joined pieces")

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """What each id spells; nothing for the end of a turn. A letter of several ids is no letter here, but every
        line break is where it was."""
        for i in {*ids} - self._spelt.keys():
            self._spelt[i] = "" if i in self.eos else self.tokenizer.decode([i])
        return [self._spelt[i] for i in ids]

    def _text(self, ids: list[int]) -> str:
        """For reading only, without opening tags. End tokens are left out by id: not every tokenizer marks them as
        special."""
        text = self.tokenizer.decode([i for i in ids if i not in self.eos], skip_special_tokens=True)
        return text.replace(THINK, "").strip()
