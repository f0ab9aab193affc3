"""Models behind an API, or an OpenAI-compatible endpoint, that Inspect asks: messages in; texts and finish reasons out.

Retries, concurrency, caching and limits of time are Inspect's. Its providers read keys and addresses in the
environment: here they are in no file and no message.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confessions.models import endpoint
from confessions.runtime.errors import InputError

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage, Logprob, Model, ModelOutput

Message = Mapping[str, str]  # role and content
FINISH = {"max_tokens": "length", "content_filter": "content_filter"}  # any other: stop
GO_ON = "what was finished is kept; mend it and run the same command again"
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)  # in the name of a variable of the environment


class EndpointError(InputError):
    """The endpoint gave no reply. `status` is that of HTTP, where there is one."""

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Reply:
    """What a model said in one turn."""

    text: str
    reasoning: str = ""
    finish_reason: str = "stop"  # or "length", or "content_filter": then the text may be the endpoint's own
    logprobs: Sequence[Logprob] | None = None  # Inspect's, a token each; None where the server gives none
    message: ChatMessage | None = None  # as Inspect has it, with what a provider wants to see again


class Endpoint:
    """The model that a folder names. Raises InputError where Inspect, or what it needs for the model, is missing."""

    def __init__(self, folder: Path):
        self._asked = endpoint.read(folder)
        self.name = self._asked.model
        try:
            import inspect_ai.model  # noqa: F401
        except ImportError:
            raise InputError(f"{self.name}: asking it needs inspect-ai: pip install 'confessions[inspect]'") from None
        self.generate([], [])

    def generate(
        self,
        conversations: Sequence[Sequence[Message | Reply]],
        settings: Sequence[Mapping[str, Any]],
        progress: Callable[[int], None] = lambda n: None,
    ) -> list[Reply]:
        """The reply to each conversation, in order, with its own settings (keys of Inspect's GenerateConfig).

        `progress` is called with 1 for each reply. Raises EndpointError, one line, at the first that fails, and where
        all are empty.
        """
        try:
            replies = asyncio.run(self._all([*zip(conversations, settings, strict=True)], progress))
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        if replies and not any(reply.text or reply.reasoning for reply in replies):
            reasons = ", ".join(sorted({reply.finish_reason for reply in replies}))
            raise EndpointError(
                f"{self.name}: all of {len(replies)} replies are empty (they end by {reasons}); {GO_ON}"
            )
        return replies

    async def _all(self, asked: Sequence[tuple], progress: Callable[[int], None]) -> list[Reply]:
        async with self._model() as model, asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(model, *each, progress)) for each in asked]
        return [task.result() for task in tasks]

    async def _one(
        self,
        model: Model,
        conversation: Sequence[Message | Reply],
        settings: Mapping[str, Any],
        progress: Callable[[int], None],
    ) -> Reply:
        from inspect_ai.model import GenerateConfig

        try:
            output = await model.generate([*map(_message, conversation)], config=GenerateConfig(**settings))
        except Exception as error:  # whatever a provider raises, over what a server sends
            raise self._failed(error) from None
        reply = self._reply(output)
        progress(1)
        return reply

    def _model(self) -> Model:
        from inspect_ai.model import GenerateConfig, get_model

        asked = self._asked
        config = GenerateConfig(
            max_connections=asked.max_connections,
            max_retries=asked.max_retries,
            timeout=asked.timeout,
            attempt_timeout=asked.timeout,
            cache=asked.cache,
        )
        try:  # not kept: its connections belong to one event loop
            return get_model(asked.model, config=config, memoize=False, **asked.args)
        except Exception as error:  # a provider, its package or its key is missing; or it has no such argument
            raise InputError(f"{self.name}: {_said(error)}; see models.*.source in config.yaml") from None

    def _reply(self, output: ModelOutput) -> Reply:
        if output.empty:
            raise EndpointError(f"{self.name}: answered nothing ({output.error or 'no choices'}); {GO_ON}")
        choice = output.choices[0]
        if choice.stop_reason == "model_length":  # the text is often what the endpoint says of it
            raise EndpointError(
                f"{self.name}: a conversation does not fit the model's context: lower max_task_tokens or "
                "max_confession_tokens in config.yaml"
            )
        parts = [] if isinstance(choice.message.content, str) else choice.message.content
        thought = [part for part in parts if part.type == "reasoning"]
        return Reply(
            text=_encodable(choice.message.text),
            reasoning=_encodable(
                "\n".join(part.summary or "" if part.redacted else part.reasoning for part in thought)
            ),
            finish_reason=FINISH.get(choice.stop_reason, "stop"),
            logprobs=(choice.logprobs and choice.logprobs.content) or None,
            message=choice.message,
        )

    def _failed(self, error: Any) -> EndpointError:
        """The error that an attempt, or the last of several, ended in, as one line."""
        if attempt := getattr(error, "last_attempt", None):
            error = attempt.exception()
        status, said = getattr(error, "status_code", None), _said(error)
        if type(error).__name__ == "AttemptTimeoutError":
            said = f"no reply in {self._asked.timeout} s"
        elif isinstance(error, TypeError | AttributeError | LookupError | json.JSONDecodeError):
            said = f"the reply has a form that Inspect does not read ({said})"
        elif status and str(status) not in said:
            said = f"HTTP {status}: {said}"
        return EndpointError(f"{self.name}: {said}; {GO_ON}", status)


def _message(said: Message | Reply) -> ChatMessage:
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    if isinstance(said, Reply):
        return said.message or ChatMessageAssistant(content=said.text)
    kind = ChatMessageSystem if said["role"] == "system" else ChatMessageUser
    return kind(content=said["content"])


def _encodable(text: str) -> str:
    """A text without the ends of it that are blank, and without half a surrogate pair, which no file can hold."""
    return text.strip().encode(errors="replace").decode()


def _said(error: Any) -> str:
    """What an error says, on one short line, without the markup that Inspect has for its terminal."""
    said = getattr(error, "provider_message", None) or str(error)
    plain = re.sub(r"^\[bold\]ERROR\[/bold\]: |^ERROR: |\[/?(bold|blue)\]", "", said) or type(error).__name__
    return textwrap.shorten(_without_secrets(plain), 300, placeholder=" ...").rstrip(".")


def _without_secrets(text: str) -> str:
    """A server may say the key again that it was given. Short values are words, as EMPTY, that some servers want."""
    secrets = [value for name, value in os.environ.items() if SECRET.search(name) and len(value) >= 8]
    return re.sub("|".join(map(re.escape, secrets)) or "(?!)", "…", text)
