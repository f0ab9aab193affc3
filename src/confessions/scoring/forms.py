"""Transcripts in forms of others, as lines of our own: lists of chat messages, and logs of Inspect."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confessions.runtime.errors import InputError, first_line
from confessions.scoring.given import task_named

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import ChatMessage

TURNS = "the last two assistant messages are the answer and the confession, with a user's request between them"
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
HEAD = 4096  # bytes of a file that tell Inspect's JSON from lines


def from_messages(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line that has `messages` (role and content, as OpenAI's API takes them) in place of answer and confession.

    Raises InputError where they are no answer, request and confession in text.
    """
    if both := {"answer", "confession"} & line.keys():
        raise InputError(f"messages and {min(both)}: give one of the two")
    messages = line["messages"]
    if not isinstance(messages, list) or not all(isinstance(m, dict) and "role" in m for m in messages):
        raise InputError("messages: a list of objects with role and content is needed")
    roles = [message["role"] for message in messages]
    if odd := [role for role in roles if role not in ROLES]:
        raise InputError(f"messages: {odd[0]!r} is no role of a message; known: {', '.join(ROLES)}")
    if roles.count("assistant") < 2 or roles[-1] != "assistant":
        raise InputError(f"messages: {TURNS}; the roles are {', '.join(map(str, roles)) or 'none'}")
    first = len(roles) - 2 - roles[-2::-1].index("assistant")
    if set(between := roles[first + 1 : -1]) != {"user"}:
        raise InputError(f"messages: {TURNS}; between them stands {', '.join(map(str, between)) or 'nothing'}")
    answer, confession = messages[first], messages[-1]
    said = {"answer": _text(answer), "confession": _text(confession)}
    for key, message in (("answer_reasoning", answer), ("confession_reasoning", confession)):
        if reasoning := message.get("reasoning_content") or message.get("reasoning"):
            said[key] = reasoning
    return said | {key: value for key, value in line.items() if key != "messages"}


def _text(message: Mapping[str, Any]) -> str:
    """What a message says. Raises InputError where it is something else than text."""
    if message.get("tool_calls"):
        raise InputError("messages: an assistant's message calls tools; answers and confessions are text")
    content = message.get("content")
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        if len(texts) == len(content) and all(isinstance(text, str) for text in texts):
            return "".join(texts)
    if not isinstance(content, str):
        raise InputError("messages: the content of an assistant's message is not text")
    return content


def is_inspect_log(file: Path) -> bool:
    """By its name, or where that is .json by how it begins."""
    if file.suffix != ".json" or not file.is_file():
        return file.suffix == ".eval"
    with file.open("rb") as opened:
        head = opened.read(HEAD)
    return b'"version"' in head and b'"eval"' in head


def inspect_lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """The samples of an Inspect log as numbered lines. The log, or each sample, says in its metadata which task,
    condition and variant it is of; a sample the task's `spec` too.

    Raises InputError where Inspect is not installed, and where the log is none, or of no task that is known here.
    """
    try:
        from inspect_ai.log import read_eval_log, read_eval_log_samples
    except ImportError:
        raise InputError(f"{file}: reading it needs inspect-ai: pip install 'confessions[inspect]'") from None
    try:
        log = read_eval_log(str(file), header_only=True)
        samples = [*read_eval_log_samples(str(file), all_samples_required=False, resolve_attachments=True)]
    except Exception as error:  # whatever Inspect raises over what is in the file
        raise InputError(f"{file}: not a log that Inspect can read ({first_line(error)})") from None
    for number, sample in enumerate(samples, 1):
        yield number, json.dumps(_line(file, log, sample), ensure_ascii=False).encode()


def _line(file: Path, log: "EvalLog", sample: "EvalSample") -> dict[str, Any]:
    known = {**(log.eval.metadata or {}), **(sample.metadata or {})}
    if not isinstance(known.get("task"), str):
        raise InputError(f"{file}: a log of {log.eval.task}, none of this project's: its metadata name no task")
    named = f"{sample.id}" if sample.epoch == 1 else f"{sample.id}, epoch {sample.epoch}"
    truncated = bool(sample.output.choices) and sample.output.stop_reason == "max_tokens"  # no choice: the call failed
    try:
        return line_of(known, sample.messages, named, log.eval.model, truncated)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def line_of(
    known: Mapping[str, Any], messages: Sequence["ChatMessage"], id: str, model: str, truncated: bool
) -> dict[str, Any]:
    """The line of an Inspect sample, of whose task `known`, its metadata, tells. `truncated`: its confession is cut."""
    fields = task_named(known["task"]).spec_model.model_fields
    spec = known.get("spec") or {name: known[name] for name in fields if name in known}
    line = {"id": id, "spec": spec, "model": model, "confession_truncated": truncated}
    line |= {key: known[key] for key in ("task", "condition", "variant") if key in known}
    said = []
    for message in messages:
        parts = [] if isinstance(message.content, str) else message.content
        reasoning = "".join(part.reasoning for part in parts if part.type == "reasoning")
        said.append({"role": message.role, "content": message.text, "reasoning": reasoning})
    return line | {"messages": said}
