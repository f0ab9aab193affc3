"""The embedded model's tokenizer: whole English words as single tokens, bytes for everything else.

A byte-level BPE without merges whose vocabulary is a fixed list of words (`ignore_merges`): a piece of text that is
in the list is one token, any other piece is spelled in bytes. So every text has an encoding and decodes to itself,
and a word always has the same id, which is what lets a 1M-parameter model copy and count words.
"""

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

END_OF_TEXT, TURN_START, TURN_END, THINK, UNTHINK = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>",
)  # fmt: skip

SPECIAL, TAGS = (END_OF_TEXT, TURN_START, TURN_END), (THINK, UNTHINK)

# ChatML as Qwen3 writes it: earlier reasoning is kept by appending token ids, never by rendering it again.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# A numbered-list marker with its line break is one piece, so that a sentence is found by one look-up.
PIECE = r"\n\d+\.| ?[A-Za-z]+| ?\d+| ?[^\sA-Za-z\d]+|\n|\s"


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECE), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _pieces(pre_tokenizer: pre_tokenizers.PreTokenizer, texts: Iterable[str]) -> set[str]:
    return {piece for text in texts for piece, _ in pre_tokenizer.pre_tokenize_str(text)}


def build_tokenizer(texts: Iterable[str], more: Iterable[str] = ()) -> PreTrainedTokenizerFast:
    """A tokenizer that holds every piece of `texts` as one token (ids in sorted order), and all bytes.

    The pieces of `more` come behind the special tokens, so that the ids of `texts` do not depend on them.
    """
    pre_tokenizer = _pre_tokenizer()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *sorted(_pieces(pre_tokenizer, texts).difference(alphabet)), *SPECIAL, *TAGS]
    tokens += sorted(_pieces(pre_tokenizer, more).difference(tokens))
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        padding_side="left",
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
