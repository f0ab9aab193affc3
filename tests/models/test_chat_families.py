"""Each family of models, exact to the id: prompts, the request, reasoning told from answer, what ends a turn.

The templates below are ours; they do what the families' own do where we rely on it (docs/models.md says what that is).
The tokenizers are small, but cut text as the families' do: Qwen3 has one id for each think tag; OLMo-3 spells them in
three, the last of which takes the line breaks behind it along.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from confessions.engines import Completion, Sampling
from confessions.models.chat import Chat
from confessions.rollouts.two_turns import Asked, check_lengths, two_turns
from confessions.runtime.errors import InputError

# GPT-4's rule for cutting text into pieces, which OLMo-3 and Qwen3 use with small changes.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# In this order, so that "<think" is <th·ink and "think" behind "</" is one.
MERGES = "< t|<t h|t h|i n|in k|th ink|< /|> Ċ|>Ċ Ċ|Ċ Ċ|u s|us e|use r|P l|Pl a|Pla n|O k|y s|sys"
WORDS = ("assistant", "system")

SYSTEM = "{%- if messages[0].role != 'system' -%}<|im_start|>system\nBe kind<|im_end|>\n{% endif -%}"
TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
OPEN = "{%- if add_generation_prompt -%}<|im_start|>assistant\n{% endif -%}"
PLAIN = "{%- for m in messages -%}" + TURN + "{% endfor -%}"
FORGETFUL = (
    "{%- for m in messages -%}{%- if m.role == 'assistant' -%}<|im_start|>assistant\n"
    "{{ m.content.split('</think>')[-1].lstrip('\n') }}<|im_end|>\n{% else -%}" + TURN + "{% endif -%}{%- endfor -%}"
)
SWITCH = "{%- if add_generation_prompt and enable_thinking is false -%}<think>\n\n</think>\n\n{% endif -%}"
LAST_ENDS_TEXT = (
    "{%- for m in messages -%}{%- if m.role == 'assistant' and loop.last -%}<|im_start|>assistant\n"
    "{{ m.content }}{{ eos_token }}{% else -%}" + TURN + "{% endif -%}{%- endfor -%}"
)
FORCED = "{%- if add_generation_prompt -%}<|im_start|>assistant\n<think>{% endif -%}"


@dataclass(frozen=True)
class Family:
    template: str
    tags: bool  # one id for each think tag
    eos: str
    more_eos: tuple[str, ...]  # of generation_config.json
    thinking: bool
    system: bool = False  # a system prompt of its own
    tail: str = ""  # what the opening of a turn ends with, as tokens
    special: bool = True  # decoding leaves the turn marks out by itself


FAMILIES = {
    "Qwen3": Family(FORGETFUL + OPEN + SWITCH, True, "<|im_end|>", ("<|im_end|>", "<|endoftext|>"), True),
    "Qwen3, thinking off": Family(
        FORGETFUL + OPEN + SWITCH, True, "<|im_end|>", ("<|im_end|>", "<|endoftext|>"), False,
        tail="<think> ĊĊ </think> ĊĊ",
    ),
    "Qwen3-Instruct-2507": Family(PLAIN + OPEN, True, "<|im_end|>", ("<|im_end|>", "<|endoftext|>"), False),
    "OLMo-3 Think": Family(
        SYSTEM + LAST_ENDS_TEXT + FORCED, False, "<|endoftext|>", ("<|im_end|>", "<|endoftext|>"), True, True,
        tail="<th ink >", special=False,
    ),
    "OLMo-3 Instruct": Family(
        SYSTEM + LAST_ENDS_TEXT + OPEN, False, "<|endoftext|>", ("<|endoftext|>",), False, True, special=False
    ),
    "SmolLM2": Family(SYSTEM + PLAIN + OPEN, False, "<|im_end|>", (), False, True),
}  # fmt: skip


def tokenizer_of(family: Family) -> PreTrainedTokenizerFast:
    merges = [tuple(pair.split(" ")) for pair in MERGES.split("|") if " " in pair]
    vocabulary = sorted(pre_tokenizers.ByteLevel.alphabet()) + ["".join(pair) for pair in merges] + list(WORDS)
    tokenizer = Tokenizer(
        models.BPE(vocab={token: i for i, token in enumerate(vocabulary)}, merges=merges, ignore_merges=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PIECES), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    marks = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    tokenizer.add_tokens([AddedToken(mark, special=family.special) for mark in marks])
    if family.tags:
        tokenizer.add_tokens([AddedToken(t, normalized=False) for t in ("<think>", "</think>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=family.eos, pad_token="<|endoftext|>", chat_template=family.template
    )


@pytest.fixture(params=FAMILIES)
def family(request) -> Family:
    return FAMILIES[request.param]


def chat_of(family: Family, **options: object) -> Chat:
    tokenizer = tokenizer_of(family)
    options = {"thinking": family.thinking} | options
    return Chat(tokenizer, eos=tokenizer.convert_tokens_to_ids(list(family.more_eos)), **options)


def ids(chat: Chat, tokens: str) -> list[int]:
    """Ids of tokens written with blanks between them."""
    found = chat.tokenizer.convert_tokens_to_ids(tokens.split())
    assert None not in found
    return found


def test_first_prompt(family):
    chat = chat_of(family)
    system = "<|im_start|> system Ċ B e Ġ k i n d <|im_end|> Ċ" if family.system else ""
    expected = f"{system} <|im_start|> user Ċ Ok <|im_end|> Ċ <|im_start|> assistant Ċ {family.tail}"
    expected = expected.replace("Ġ k i n d", "Ġ k in d")
    assert chat.prompt_ids([{"role": "user", "content": "Ok"}]) == ids(chat, expected)


def test_a_system_prompt_replaces_the_templates_own(family):
    chat = chat_of(family)
    messages = [{"role": "system", "content": "Ok"}, {"role": "user", "content": "Ok"}]
    opening = f"<|im_start|> user Ċ Ok <|im_end|> Ċ <|im_start|> assistant Ċ {family.tail}"
    assert chat.prompt_ids(messages) == ids(chat, f"<|im_start|> system Ċ Ok <|im_end|> Ċ {opening}")


def test_request(family):
    """The end of turn 1 is the template's, whatever the tokenizer's eos; no system prompt again; turn 2 opened."""
    chat = chat_of(family)
    after = f"Ċ <|im_start|> user Ċ Ok <|im_end|> Ċ <|im_start|> assistant Ċ {family.tail}"
    assert chat.request_ids("Ok", turn_ended=True) == ids(chat, after)
    assert chat.request_ids("Ok", turn_ended=False) == ids(chat, f"<|im_end|> {after}")


def test_what_ends_a_turn(family):
    chat = chat_of(family)
    ends = {"<|im_end|>", family.eos, *family.more_eos}
    assert chat.eos == sorted(ids(chat, " ".join(ends)))
    assert chat.end_of_turn == ids(chat, "<|im_end|>")[0]


def test_the_other_end_of_turn_is_kept_and_closed(family):
    """A turn may end with <|endoftext|>: the id was sampled and stays; the scaffold then closes the turn."""
    chat = chat_of(family)
    prompt = chat.prompt_ids([{"role": "user", "content": "Ok"}])
    context, request = chat.follow_up(prompt, ids(chat, "Ok <|endoftext|>"), "Ok")
    assert context == prompt + ids(chat, "Ok <|endoftext|>")
    assert request == chat.request_ids("Ok", turn_ended=False)
    assert chat.split(ids(chat, "Ok <|endoftext|>")).body == ("" if chat.thinking and chat._opener else "Ok")


THOUGHT = {  # as sampled, with the number of tokens up to the closing tag's last
    "Qwen3": ("<think> Ċ Plan Ċ </think> ĊĊ Ok <|im_end|>", 5),
    "OLMo-3 Think": ("Ċ Plan Ċ </ think >ĊĊ Ok <|im_end|>", 6),  # the prompt holds the opening tag
}


@pytest.mark.parametrize("name", THOUGHT)
def test_reasoning_is_cut_behind_the_tag(name):
    chat, (tokens, cut) = chat_of(FAMILIES[name]), THOUGHT[name]
    turn = chat.split(ids(chat, tokens))
    assert (turn.reasoning, turn.body, turn.body_start, turn.closed) == ("Plan", "Ok", cut, True)


@pytest.mark.parametrize("name", THOUGHT)
def test_a_turn_of_the_corpus_is_laid_out_as_sampled(name):
    """To the id: tags, line breaks and the end; the opening tag is left to a template that writes it."""
    assert chat_of(FAMILIES[name]).turn_ids("\nPlan", "\nOk") == ids(chat_of(FAMILIES[name]), THOUGHT[name][0])


@pytest.mark.parametrize("name", THOUGHT)
@pytest.mark.parametrize(
    ("paraphrases", "before", "after"),
    [
        ({"Plan": "user"}, "Plan", "user"),
        ({"Plan": "user"}, "us Plan Ċ Plan us", "us user Ċ user us"),  # the others as sampled, though not as encoded
        ({"Plan": "user", "Ok": "in"}, "Ok Plan", "in user"),
        ({"la": "Ok"}, "Plan", "P Ok n"),  # within a token
        ({"Ok": "Plan"}, "user", "user"),
    ],
)
def test_a_paraphrase_changes_its_own_tokens_alone(name, paraphrases, before, after):
    """And none of the answer, which says the same."""
    chat, (tokens, _) = chat_of(FAMILIES[name], paraphrases=paraphrases), THOUGHT[name]
    turn = [ids(chat, tokens.replace(" Ok", " Ok Plan").replace("Ċ Plan", f"Ċ {z}", 1)) for z in (before, after)]
    assert chat.paraphrased(turn[0]) == turn[1]
    assert chat.context([1, 2], turn[0]) == [1, 2, *turn[1]]


@pytest.mark.parametrize("name", ["Qwen3, thinking off", "SmolLM2"])
def test_without_thinking_a_turn_of_the_corpus_is_its_body(name):
    chat = chat_of(FAMILIES[name])
    assert chat.turn_ids("\nPlan", "\nOk") == ids(chat, "Ok <|im_end|>")


@pytest.mark.parametrize(
    ("tokens", "reasoning", "body", "start"),
    [
        ("Plan </ think > Ok", "Plan", "Ok", 4),
        ("Plan </ think >Ċ Ok", "Plan", "Ok", 4),
        ("Plan < / t h i n k > Ċ Ok", "Plan", "Ok", 9),  # a model may spell what its tokenizer would not
        ("</ think >ĊĊ Ok </ think > Ok", "", "Ok</think>Ok", 3),
        ("</ think >ĊĊ", "", "", 3),
    ],
)
def test_a_tag_of_several_tokens(tokens, reasoning, body, start):
    chat = chat_of(FAMILIES["OLMo-3 Think"])
    turn = chat.split(ids(chat, tokens))
    assert (turn.reasoning, turn.body, turn.body_start, turn.closed) == (reasoning, body, start, True)


def test_a_tag_of_several_tokens_that_the_model_opens():
    """A template may leave that to the model, as the one that OLMo-3 Think was fine-tuned with does."""
    chat = chat_of(FAMILIES["OLMo-3 Instruct"], thinking=True, keep_thinking=False)
    said = ids(chat, "<th ink > Ċ Plan </ think >ĊĊ Ok <|im_end|>")
    turn = chat.split(said)
    assert (turn.reasoning, turn.body, turn.body_start, turn.closed) == ("Plan", "Ok", 8, True)
    assert chat.context([1, 2], said) == [1, 2, *ids(chat, "Ok <|im_end|>")]
    turn = chat.split(said[:5])
    assert (turn.reasoning, turn.body, turn.body_start, turn.closed) == ("Plan", "", 5, False)


@pytest.mark.parametrize(
    ("name", "tokens", "expected"),
    [
        ("Qwen3", "<think> Ċ Plan", ("Plan", "", 3, False)),  # never closed
        ("Qwen3", "Ok <|im_end|>", ("", "Ok", 0, True)),  # did not think at all
        ("OLMo-3 Think", "Plan <|im_end|>", ("Plan", "", 2, False)),  # the prompt opened the block
        ("OLMo-3 Think", "Plan </ think", ("Plan</think", "", 3, False)),  # cut within the tag
        ("Qwen3, thinking off", "Ok <|im_end|>", ("", "Ok", 0, True)),
        ("Qwen3-Instruct-2507", "Ok <|im_end|>", ("", "Ok", 0, True)),
        ("OLMo-3 Instruct", "Ok <|im_end|>", ("", "Ok", 0, True)),
        ("SmolLM2", "Ok <|im_end|>", ("", "Ok", 0, True)),
    ],
)
def test_turns_without_a_closing_tag(name, tokens, expected):
    chat = chat_of(FAMILIES[name])
    turn = chat.split(ids(chat, tokens))
    assert (turn.reasoning, turn.body, turn.body_start, turn.closed) == expected


@pytest.mark.parametrize("name", THOUGHT)
def test_without_keep_thinking_turn_2_sees_the_answer_alone(name):
    """No tag is left over, neither z's nor the one that the prompt opened."""
    chat, (tokens, _) = chat_of(FAMILIES[name], keep_thinking=False), THOUGHT[name]
    prompt = chat.prompt_ids([{"role": "user", "content": "Ok"}])
    plain = prompt[: len(prompt) - len(FAMILIES[name].tail.split())]
    # In Qwen3 the blank lines are a token of their own and go too; in OLMo-3 they belong to the tag.
    assert chat.context(prompt, ids(chat, tokens)) == plain + ids(chat, "Ok <|im_end|>")
    # never closed: nothing was answered, and the turn is closed for it
    context, request = chat.follow_up(prompt, ids(chat, "Plan" if chat._opener else "<think> Plan"), "Ok")
    assert context == plain
    assert request == chat.request_ids("Ok", turn_ended=False)


@pytest.mark.parametrize("name", THOUGHT)
def test_without_keep_thinking_is_what_the_template_renders(name):
    """Where the template forgets reasoning itself (Qwen3) the two agree; OLMo-3's would show it."""
    chat, (tokens, _) = chat_of(FAMILIES[name], keep_thinking=False), THOUGHT[name]
    turn = ids(chat, tokens)
    prompt = chat.prompt_ids([{"role": "user", "content": "Ok"}])
    context, request = chat.follow_up(prompt, turn, "Ok")
    said = chat.tokenizer.decode(turn[:-1])
    messages = [("user", "Ok"), ("assistant", said), ("user", "Ok")]
    rendered = chat.prompt_ids([{"role": role, "content": content} for role, content in messages])
    assert (context + request == rendered) == (name == "Qwen3")


@pytest.mark.parametrize("name", ["Qwen3, thinking off", "Qwen3-Instruct-2507", "OLMo-3 Instruct", "SmolLM2"])
def test_without_thinking_there_is_nothing_to_leave_out(name):
    chat = chat_of(FAMILIES[name], keep_thinking=False)
    prompt, turn = chat.prompt_ids([{"role": "user", "content": "Ok"}]), ids(chat, "ĊĊ Ok <|im_end|>")
    assert chat.context(prompt, turn) == prompt + turn


def test_a_block_that_the_template_opens_cannot_be_switched_off():
    with pytest.raises(InputError, match=r"opens a <think> block in every reply: set `thinking: true`"):
        chat_of(FAMILIES["OLMo-3 Think"], thinking=False)


@pytest.fixture
def scripted_by(task) -> Callable:
    """Runs one two-turn rollout in which the model says the given tokens."""
    from made_models import ScriptedEngine

    def run(chat: Chat, *turns: str):
        said = [ids(chat, tokens) for tokens in turns]
        engine = ScriptedEngine(chat.tokenizer, *([Completion(i, [-1.0] * len(i), "stop")] for i in said))
        rollouts = two_turns(engine, chat, task, [Asked(task.specs("train")[0], (1, 2))], Sampling(9), Sampling(9))
        return engine, rollouts[0]

    return run


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("name", THOUGHT)
def test_rollout_records_what_turn_2_was_asked(name, keep, scripted_by):
    """The second prompt is the context and the request, id for id; what is stored is all that was sampled."""
    chat, (tokens, _) = chat_of(FAMILIES[name], keep_thinking=keep), THOUGHT[name]
    engine, rollout = scripted_by(chat, tokens, tokens)
    assert rollout.task.ids == rollout.confession.ids == ids(chat, tokens)
    assert engine.calls[1].prompts[0] == chat.context(rollout.x_ids, rollout.task.ids) + rollout.xc_ids
    assert (rollout.answer.body, rollout.report.body, rollout.keep_thinking) == ("Ok", "Ok", keep)
    if keep:
        assert engine.calls[1].prompts[0] == rollout.x_ids + rollout.task.ids + rollout.xc_ids


def test_a_prompt_that_cannot_fit_is_an_error_before_generation(family, task):
    chat, specs = chat_of(family), task.specs("train")[:1]
    with pytest.raises(InputError, match="the model's context is 64: lower max_task_tokens"):
        check_lengths(chat, task, specs, 10, 64)
