"""The chat scaffold: turn 2 is appended to sampled ids, never rendered again."""

import copy

import pytest
from transformers import PreTrainedTokenizerBase

from confessions.engines import Sampling
from confessions.models.chat import Chat
from confessions.rollouts.two_turns import Asked, two_turns
from confessions.runtime.errors import InputError

# As Qwen3's: reasoning is cut from earlier turns, and without thinking the reply opens with an empty block.
FORGETFUL_TEMPLATE = (
    "{%- for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content.split('</think>')[-1].lstrip('\n') }}<|im_end|>\n{% endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n"
    "{%- if enable_thinking is false %}\n<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
SAMPLED = "<think>\nPlan 12.\n</think>\n\n1. Often rivers sing. (12)"


@pytest.fixture
def own(tokenizer) -> PreTrainedTokenizerBase:
    """A tokenizer that a test may change."""
    return copy.deepcopy(tokenizer)


def ids_of(chat: Chat, text: str) -> list[int]:
    return chat.tokenizer.encode(text, add_special_tokens=False)


def test_prompt_ends_where_the_first_turn_begins(chat):
    ids = chat.prompt_ids([{"role": "user", "content": "Write."}])
    assert chat.tokenizer.decode(ids) == "<|im_start|>user\nWrite.<|im_end|>\n<|im_start|>assistant\n"


def test_thinking_is_passed_to_the_template(own):
    own.chat_template = FORGETFUL_TEMPLATE
    prompts = [Chat(own, thinking).prompt_ids([{"role": "user", "content": "x"}]) for thinking in (True, False)]
    assert own.decode(prompts[1][len(prompts[0]) :]) == "<think>\n\n</think>\n\n"


@pytest.mark.parametrize(("turn_ended", "closing"), [(True, ""), (False, "<|im_end|>")])
def test_request_closes_the_turn_exactly_when_it_was_truncated(chat, turn_ended, closing):
    ids = chat.request_ids("Report.", turn_ended)
    assert chat.tokenizer.decode(ids) == f"{closing}\n<|im_start|>user\nReport.<|im_end|>\n<|im_start|>assistant\n"


def test_appended_ids_are_the_rendered_conversation(chat):
    """With a template that keeps every turn as it is, appending and rendering are the same."""
    appended = chat.prompt_ids([{"role": "user", "content": "x"}]) + ids_of(chat, f"{SAMPLED}<|im_end|>")
    appended += chat.request_ids("Report.", turn_ended=True)
    turns = zip(("user", "assistant", "user"), ("x", SAMPLED, "Report."), strict=True)
    messages = [{"role": role, "content": content} for role, content in turns]
    assert appended == ids_of(
        chat, chat.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    )


def test_reasoning_stays_in_context_under_a_template_that_drops_it(own, scripted, task):
    own.chat_template = FORGETFUL_TEMPLATE
    chat, spec = Chat(own, thinking=True), task.specs("train")[0]
    engine = scripted([SAMPLED], [SAMPLED])
    two_turns(engine, chat, task, [Asked(spec, (1, 2))], Sampling(9), Sampling(9))
    assert "Plan 12." in own.decode(engine.calls[1].prompts[0])
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": SAMPLED}]
    assert "Plan 12." not in own.apply_chat_template(messages, tokenize=False)


@pytest.mark.parametrize(
    ("text", "reasoning", "body", "closed"),
    [
        (SAMPLED, "Plan 12.", "1. Often rivers sing. (12)", True),
        (
            "<think>\nPlan </think> a </think> b",
            "Plan",
            "a </think> b",
            True,
        ),  # the first tag ends the reasoning
        ("Plan </think> a", "Plan", "a", True),  # the prompt opened the block
        ("<think>\nPlan 12.", "Plan 12.", "", False),  # cut while thinking: no body
        ("1. Often", "", "1. Often", True),  # nobody opened a block: the model did not think
    ],
)
def test_split_at_the_first_closing_tag(chat, text, reasoning, body, closed):
    ids = ids_of(chat, text)
    turn = chat.split([*ids, chat.tokenizer.eos_token_id])
    assert (turn.reasoning, turn.body, turn.closed) == (reasoning, body, closed)
    end = ids_of(chat, "</think>")[0]
    assert turn.body_start == (ids.index(end) + 1 if end in ids else 0 if closed else len(ids) + 1)


def test_without_thinking_all_is_body(tokenizer):
    chat = Chat(tokenizer, thinking=False)
    turn = chat.split(ids_of(chat, "1. Often rivers sing. (12)<|im_end|>"))
    assert (turn.reasoning, turn.body, turn.body_start, turn.closed) == (
        "",
        "1. Often rivers sing. (12)",
        0,
        True,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chat_template": None}, "has no chat template"),
        ({"eos_token": None}, "names no end-of-turn"),
        ({"chat_template": "{% for m in messages %}{{ m.content }}\n{% endfor %}"}, "does not end a turn with its eos"),
    ],
)
def test_unusable_tokenizer_is_named(own, change, message):
    for name, value in change.items():
        setattr(own, name, value)
    with pytest.raises(InputError, match=f"random_nano {message}"):
        Chat(own, thinking=True).request_ids("Report.", turn_ended=True)


def test_the_templates_end_of_turn_ends_a_turn_too(own):
    """Where the tokenizer's eos is another token, as OLMo-3's may be."""
    own.eos_token = "<|endoftext|>"
    chat = Chat(own, thinking=True, eos=[7])
    end, other = own.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert (chat.end_of_turn, chat.eos) == (end, sorted([7, other, end]))
    prompt, turn = chat.prompt_ids([{"role": "user", "content": "x"}]), ids_of(chat, SAMPLED)
    for last, closed_here in ((end, False), (other, True)):
        context, request = chat.follow_up(prompt, [*turn, last], "Report.")
        assert context == [*prompt, *turn, last]
        assert (request[0] == end) == closed_here


def test_template_that_rewrites_turns_is_refused(own):
    own.chat_template = "{% for message in messages %}{{ message.content | trim | upper }}<|im_end|>{% endfor %}"
    with pytest.raises(InputError, match="does not render an assistant turn as it is"):
        Chat(own, thinking=True).request_ids("Report.", turn_ended=True)


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{% for", "end of template"),
        ("{{ raise_exception('System role not supported') }}", "System role not supported"),
        ("{{ messages[9].content }}", "no element 9"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ messages | unheard_of }}", "No filter named 'unheard_of'"),
        ({"tool_use": "x"}, "no default"),
    ],
)
def test_a_template_that_cannot_be_used_is_one_line(own, template, what):
    own.chat_template = template
    with pytest.raises(InputError) as caught:
        Chat(own, thinking=True).prompt_ids([{"role": "user", "content": "x"}])
    message = str(caught.value)
    assert message.startswith(f"the chat template of {own.name_or_path} cannot be used for user (")
    assert what in message
    assert len(message.splitlines()) == 1


def test_a_template_that_writes_nothing_behind_an_answer(own):
    own.chat_template = (
        "{% for message in messages %}{% if message.role == 'assistant' %}{{ message.content }}{% endif %}"
    )
    own.chat_template += "{% endfor %}"
    with pytest.raises(InputError, match="does not end a turn"):
        _ = Chat(own, thinking=True).eos
