"""The probability of a claim's token: which token it is, what its log-probability says, and the stage that adds it."""

import json
import math
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
from made_rollouts import report
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from confessions.pipeline.blocks import ScoreSpec
from confessions.pipeline.stages import score
from confessions.runtime.errors import InputError
from confessions.scoring import claim_tokens

NANO = Path(str(files("confessions.nano") / "weights" / "xs"))


@pytest.fixture(scope="module")
def in_bytes() -> Tokenizer:
    """A token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={byte: i for i, byte in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def rollout(tokenizer: Tokenizer, variant: str, text: str, sampled: dict[int, float], before: str = "") -> pd.DataFrame:
    """One rollout with this report behind some reasoning. Tokens have the probabilities `sampled`, others .5."""
    reasoning = tokenizer.encode(before, add_special_tokens=False).ids
    ids = [*reasoning, *tokenizer.encode(text, add_special_tokens=False).ids]
    logprobs = [math.log(sampled.get(i - len(reasoning), 0.5)) for i in range(len(ids))]
    row = {"variant": variant, "yc": text.strip(), "confession_ids": ids, "confession_logprobs": logprobs}
    return pd.DataFrame([row | {"report_start": len(reasoning)}])


def scores(*claims: str) -> pd.DataFrame:
    return pd.DataFrame([{"report_valid": bool(claims), "claims": list(claims) or None}])


@pytest.mark.parametrize(
    ("variant", "text", "claims", "before"),
    [
        ("direct", "\n 1. met\n2. not met\n3. partly met", ("Full", "None", "Partial"), ("1. ", "2. ", "3. ")),
        ("evidence", "1. it is not met — → met\n2. 🙂🙂 -> not met", ("Full", "None"), (" → ", " -> ")),
        ("default", report(["None", "Full"], 2), ("None", "Full"), ('"compliance": "',) * 2),
    ],
)
@pytest.mark.parametrize("kind", ["bytes", "words"])
def test_the_token_that_a_claim_begins_with(in_bytes, kind, variant, text, claims, before) -> None:
    """Whether a token is a byte or a word with the space in front of it; also behind characters of several bytes."""
    tokenizer = in_bytes if kind == "bytes" else Tokenizer.from_file(str(NANO / "tokenizer.json"))
    offsets, tokens, place = tokenizer.encode(text, add_special_tokens=False).offsets, [], 0
    for words in before:
        place = text.index(words, place) + len(words)
        tokens.append(next(i for i, (start, end) in enumerate(offsets) if start <= place < end))
    told = dict(zip(tokens, (0.9, 0.8, 0.7), strict=False))
    [found] = claim_tokens.p_met(tokenizer.decode, rollout(tokenizer, variant, text, told, "1. met"), scores(*claims))
    meant = {"Full": lambda p: p, "None": lambda p: 1 - p, "Partial": lambda p: 0.5}
    assert found == pytest.approx([meant[claim](p) for claim, p in zip(claims, told.values(), strict=True)])


def test_where_no_token_is_known(in_bytes) -> None:
    def found(frame: pd.DataFrame, *claims: str) -> list:
        return claim_tokens.p_met(in_bytes.decode, frame, scores(*claims))

    written = rollout(in_bytes, "direct", "1. met", {})
    assert found(written, "Full") == [[pytest.approx(0.5)]]
    assert found(written) == [None]  # an invalid report
    assert found(rollout(in_bytes, "probability", "1. 85 %", {}), "Full") == [None]
    assert found(written.assign(yc="1. Met"), "Full") == [None]  # not the text of the tokens
    certain = written.assign(confession_logprobs=[[1e-6] * 6])  # rounding
    assert found(certain, "Full") == [[1.0]]


@pytest.fixture
def stored(tmp_path, random_nano) -> Path:
    tokenizer = Tokenizer.from_file(str(random_nano / "tokenizer.json"))
    spec = json.dumps({"topic": "tea", "targets": [2, 2]})
    named = {"task": "word_count", "spec": spec, "y": "It rained (2).", "zc": "", "z": "", "confession_finish": "stop"}
    rows = [rollout(tokenizer, "direct", text, {3: 0.25}) for text in ("1. met\n2. not met", "1. met")]
    frame = pd.concat(rows, ignore_index=True).assign(**named, task_finish="stop", row=[0, 1], condition="baseline")
    frame.to_parquet(tmp_path / "rollouts.parquet")
    return tmp_path / "rollouts.parquet"


def scored(stored: Path, model: Path | None) -> pd.DataFrame:
    spec, out = ScoreSpec(task="word_count", judge={"kind": "label_trusting"}), stored.with_name("scores.parquet")
    score.run(spec, [stored], [out], lambda _: None, model)
    return pd.read_parquet(out)


def test_the_stage_adds_them_where_it_knows_the_model(stored, random_nano) -> None:
    assert "p_token" not in scored(stored, None)
    found = scored(stored, random_nano)
    assert found["p_token"].iloc[0].tolist() == pytest.approx([0.25, 0.5])
    assert found["p_token"].iloc[1] is None
    (stored.parent / "model").mkdir()
    (stored.parent / "model" / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match=r"tokenizer\.json: .*; copy the model's own file there$"):
        scored(stored, stored.parent / "model")
    pd.read_parquet(stored).drop(columns="confession_logprobs").to_parquet(stored)
    with pytest.raises(InputError, match="confession_logprobs"):
        scored(stored, random_nano)
