"""The transformers engine against plain forward passes and the distributions that it claims to sample."""

import copy
from threading import get_ident

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from scipy.stats import chisquare
from transformers import GPT2Config, GPT2LMHeadModel

from confessions.engines import Sampling
from confessions.engines import transformers as engine_module
from confessions.engines.transformers import SeededSampler, TransformersEngine
from confessions.models import loading

PROMPTS = [[5, 6, 7], [300, 301, 302, 303, 304, 305, 306], [40], [900, 41, 77, 500]] * 3
SEEDS = list(range(len(PROMPTS)))
TURN = Sampling(24)


def forward_logprobs(model, prompt: list[int], ids: list[int]) -> list[float]:
    """Log-probabilities of `ids` after `prompt`, by one unpadded forward pass without a cache."""
    with torch.inference_mode():
        logits_TV = model(torch.tensor([prompt + ids], device=model.device)).logits[0, len(prompt) - 1 : -1]
    return logits_TV.float().log_softmax(-1)[range(len(ids)), ids].tolist()


@pytest.fixture
def stopping(biased, tokenizer):
    """A model that ends about one turn in two within 24 tokens."""
    return biased(tokenizer.eos_token_id, 4.0)


def test_logprobs_are_those_of_the_model(stopping, tokenizer):
    """Raw log-probabilities of every token, whatever the padding, temperature and filters."""
    for sampling in (TURN, Sampling(24, temperature=0.7, top_p=0.9, top_k=50), Sampling(24, temperature=0.0)):
        completions = TransformersEngine(stopping, tokenizer).generate(PROMPTS, sampling, SEEDS)
        for prompt, completion in zip(PROMPTS, completions, strict=True):
            assert completion.logprobs == pytest.approx(forward_logprobs(stopping, prompt, completion.ids), abs=1e-4)


def test_processed_logprobs_are_those_of_what_is_sampled_from(stopping, tokenizer):
    """After temperature and top-k: for the trainer, which compares them with its own at that temperature."""
    engine = TransformersEngine(stopping, tokenizer, processed_logprobs=True)
    completions = engine.generate(PROMPTS, Sampling(24, temperature=0.7, top_k=50), SEEDS)
    for prompt, completion in zip(PROMPTS, completions, strict=True):
        with torch.inference_mode():
            logits_TV = stopping(torch.tensor([prompt + completion.ids])).logits[0, len(prompt) - 1 : -1] / 0.7
            left_out = logits_TV < logits_TV.topk(50).values[:, -1:]
        logps_TV = logits_TV.masked_fill(left_out, -torch.inf).log_softmax(-1)
        expected = logps_TV[range(len(completion.ids)), completion.ids].tolist()
        assert completion.logprobs == pytest.approx(expected, abs=1e-4)


def test_finish_reasons(stopping, tokenizer):
    """stop: the end-of-turn token is the last id and only there. length: all tokens were used, none is the end."""
    completions = TransformersEngine(stopping, tokenizer).generate(PROMPTS, TURN, SEEDS)
    assert {c.finish_reason for c in completions} == {"stop", "length"}
    for c in completions:
        ends = [i for i, token in enumerate(c.ids) if token == tokenizer.eos_token_id]
        assert ends == ([len(c.ids) - 1] if c.finish_reason == "stop" else [])
        assert len(c.logprobs) == len(c.ids) <= 24
        assert c.finish_reason == "stop" or len(c.ids) == 24


def test_own_settings_of_a_model_do_not_reach_the_sampler(model, tokenizer):
    """generation_config.json of some chat models holds a repetition penalty and the like."""
    plain = TransformersEngine(model, tokenizer).generate(PROMPTS, TURN, SEEDS)
    model.generation_config.update(repetition_penalty=1.5, min_new_tokens=9, suppress_tokens=[plain[0].ids[0]])
    assert TransformersEngine(model, tokenizer).generate(PROMPTS, TURN, SEEDS) == plain


def test_continuing_a_cache_equals_computing_anew(stopping, tokenizer):
    """Turn 2 after turns that stopped early and turns that were cut: same tokens, log-probs within 1e-4."""
    widths = []
    stopping.register_forward_pre_hook(lambda _, __, kw: widths.append(kw["input_ids"].shape[1]), with_kwargs=True)
    results, first_widths = {}, {}
    for reuse in (True, False):
        engine = TransformersEngine(stopping, tokenizer, batch_size=8, reuse_prefix=reuse)
        first = engine.generate(PROMPTS, TURN, SEEDS)
        requests = [[17] * (1 + row % 3) for row in range(len(PROMPTS))]
        longer = [p + c.ids + r for p, c, r in zip(PROMPTS, first, requests, strict=True)]
        widths.clear()
        results[reuse] = engine.generate(longer, TURN, [s + 100 for s in SEEDS])
        first_widths[reuse] = widths[0]
    assert {c.finish_reason for c in first} == {"stop", "length"}
    assert first_widths[False] == max(map(len, longer[:8]))
    assert first_widths[True] == 1 + 3  # the last sampled column and the longest request
    for continued, anew in zip(results[True], results[False], strict=True):
        assert continued.ids == anew.ids
        assert continued.finish_reason == anew.finish_reason
        assert continued.logprobs == pytest.approx(anew.logprobs, abs=1e-4)


@pytest.mark.parametrize("change", ["another prompt", "another order", "another adapter", "changed weights"])
def test_a_cache_is_used_for_its_own_continuation_only(model, tokenizer, random_adapter, change):
    engine = TransformersEngine(model, tokenizer)
    prompts, adapter = PROMPTS[:2], random_adapter(1)
    first = engine.generate(prompts, TURN, SEEDS[:2], [adapter] * 2)
    longer = [p + c.ids + [17] for p, c in zip(prompts, first, strict=True)]
    if change == "another prompt":
        longer[0][0] += 1
    elif change == "another order":
        longer.reverse()
    elif change == "another adapter":
        adapter = random_adapter(2)
    else:
        with torch.no_grad():
            model.model.embed_tokens.weight *= 1.1
        engine = TransformersEngine(model, tokenizer)  # as the trainer does, each step
    second = engine.generate(longer, TURN, SEEDS[:2], [adapter] * 2)
    for prompt, completion in zip(longer, second, strict=True):
        assert completion.logprobs == pytest.approx(forward_logprobs(engine.model, prompt, completion.ids), abs=1e-4)


def test_a_sample_does_not_depend_on_its_batch(stopping, tokenizer):
    """Alone, in small batches, in one batch, or in another order: a prompt and its seed decide."""
    whole = TransformersEngine(stopping, tokenizer).generate(PROMPTS, TURN, SEEDS)
    assert len({tuple(c.ids) for c in whole}) > len(PROMPTS) / 2
    small = TransformersEngine(stopping, tokenizer, batch_size=3).generate(PROMPTS, TURN, SEEDS)
    reverse = TransformersEngine(stopping, tokenizer).generate(PROMPTS[::-1], TURN, SEEDS[::-1])[::-1]
    alone = [
        TransformersEngine(stopping, tokenizer).generate([p], TURN, [s])[0] for p, s in zip(PROMPTS, SEEDS, strict=True)
    ]
    for others in (small, reverse, alone):
        assert [c.ids for c in others] == [c.ids for c in whole]


def test_threads_share_a_batch_out_and_change_nothing(stopping, tokenizer, monkeypatch):
    """Also when turn 2 continues, twice over and in another order, what two threads computed."""
    monkeypatch.setattr(engine_module, "_SHARE", 4)
    monkeypatch.setattr(engine_module, "_FEWEST", 2)
    used, real = [], TransformersEngine._generate_batch
    monkeypatch.setattr(TransformersEngine, "_generate_batch", lambda *a: used.append(get_ident()) or real(*a))
    results = {}
    for workers in (1, 3):
        used.clear()
        engine = TransformersEngine(stopping, tokenizer, workers=workers)
        first = engine.generate(PROMPTS, TURN, SEEDS)
        order = [*reversed(range(len(PROMPTS))), *range(len(PROMPTS))]
        longer = [PROMPTS[i] + first[i].ids + [17] * (1 + i % 3) for i in order]
        results[workers] = first, engine.generate(longer, TURN, [SEEDS[i] + 100 for i in order])
        assert len(used) == 3 + 6  # of at most 4 rows each
        assert len(set(used[:3])) <= workers
    for one, three in zip(*(first + second for first, second in results.values()), strict=True):
        assert one.ids == three.ids
        assert one.logprobs == pytest.approx(three.logprobs, abs=1e-4)


@pytest.mark.parametrize(("weights", "threads"), [(0, 2), (10**9, 1)], ids=["a large model", "a small model"])
def test_a_few_rows_of_a_small_model_are_not_split(stopping, tokenizer, monkeypatch, weights, threads):
    """Its operations are too short for two threads, which would wait for each other; the caller keeps its own two."""
    monkeypatch.setattr(engine_module, "_SPLIT", weights)
    used, real, before = [], TransformersEngine._generate_batch, torch.get_num_threads()
    monkeypatch.setattr(
        TransformersEngine, "_generate_batch", lambda *a: used.append(torch.get_num_threads()) or real(*a)
    )
    torch.set_num_threads(2)
    try:
        TransformersEngine(stopping, tokenizer).generate(PROMPTS, TURN, SEEDS)
        assert (used, torch.get_num_threads()) == ([threads], 2)
    finally:
        torch.set_num_threads(before)


def test_each_prompt_gets_its_adapter(model, random_nano, tokenizer, random_adapter):
    """Two adapters and the base model in one call, interleaved; None is the base model before and after."""
    adapters = [None, random_adapter(1), random_adapter(2)]
    expected = [loading.load_model(random_nano, "float32")]
    expected += [PeftModel.from_pretrained(loading.load_model(random_nano, "float32"), a).eval() for a in adapters[1:]]
    engine, prompt = TransformersEngine(model, tokenizer), PROMPTS[1]
    for order in ([0, 1, 2, 1, 0, 2], [2, 0]):
        completions = engine.generate([prompt] * len(order), TURN, [7] * len(order), [adapters[i] for i in order])
        for i, completion in zip(order, completions, strict=True):
            assert completion.logprobs == pytest.approx(forward_logprobs(expected[i], prompt, completion.ids), abs=1e-4)
    assert len({round(forward_logprobs(m, prompt, completion.ids)[0], 3) for m in expected}) == 3


@pytest.mark.parametrize(
    ("dtype", "targets", "merged"),
    [("float32", "all-linear", True), ("bfloat16", "all-linear", False), ("float32", ["q_proj", "lm_head"], False)],
)
def test_an_adapter_is_part_of_the_weights_only_while_it_samples(
    random_nano, tokenizer, tmp_path, monkeypatch, dtype, targets, merged
):
    """In bfloat16 a sum would lose the adapter's last bits, and one of the head would change the embeddings that are
    tied to it. Afterwards the weights are the old ones, bit for bit."""
    config = LoraConfig(r=2, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(loading.load_model(random_nano, dtype), config).save_pretrained(tmp_path)
    base = loading.load_model(random_nano, dtype).requires_grad_(False)
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    engine, seen = TransformersEngine(base, tokenizer), []

    def sample(self, *batch):
        seen.extend(m.merged for m in self.model.modules() if isinstance(m, BaseTunerLayer))
        raise KeyboardInterrupt

    monkeypatch.setattr(TransformersEngine, "_generate_batch", sample)
    with pytest.raises(KeyboardInterrupt):
        engine.generate(PROMPTS[:2], TURN, SEEDS[:2], [tmp_path] * 2)
    assert set(seen) == {merged}
    layers = [m for m in engine.model.modules() if isinstance(m, BaseTunerLayer)]
    assert layers
    assert not any(m.merged for m in layers)
    after = {
        name.replace("base_model.model.", "").replace("base_layer.", ""): w
        for name, w in engine.model.state_dict().items()
    }
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


def test_no_adapter_means_the_one_that_the_model_came_with(model, tokenizer, random_adapter):
    """A trainer's engine samples from the adapter in training, also after another one was used."""
    trained = PeftModel.from_pretrained(model, random_adapter(1)).eval()
    engine, prompts = TransformersEngine(trained, tokenizer), PROMPTS[:1]
    before = engine.generate(prompts, TURN, [7])
    other = engine.generate(prompts, TURN, [7], [random_adapter(2)])
    assert engine.generate(prompts, TURN, [7]) == before != other


LOGITS = torch.tensor([2.0, 1.5, 1.0, 0.5, 0.0, -1.0, -2.0, 1.2])


def expected_probabilities(sampling: Sampling) -> np.ndarray:
    """Temperature, then the top_k most likely, then the fewest of these that hold top_p of the mass."""
    p = np.exp(LOGITS.double().numpy() / sampling.temperature)
    order = np.argsort(-p)
    p[order[sampling.top_k or len(p) :]] = 0
    p /= p.sum()
    mass_before = np.cumsum(p[order]) - p[order]
    p[order[mass_before >= sampling.top_p]] = 0
    return p / p.sum()


@pytest.mark.parametrize(
    ("sampling", "n_possible"),
    [
        (Sampling(1), 8),
        (Sampling(1, temperature=0.5), 8),
        (Sampling(1, temperature=2.0, top_k=3), 3),
        (Sampling(1, top_p=0.8), 4),
        (Sampling(1, temperature=1.5, top_k=5, top_p=0.7), 3),
    ],
)
def test_samples_follow_the_distribution(sampling, n_possible):
    """Chi-square over 20000 tokens of 40 rows: exactly softmax under temperature, top_k and top_p."""
    n_rows, n_steps = 40, 500
    sampler = SeededSampler(sampling, range(n_rows), torch.device("cpu"))
    ids, logits = torch.zeros(n_rows, 1, dtype=torch.long), LOGITS.expand(n_rows, -1)
    tokens = torch.cat([sampler(ids, logits).argmax(-1) for _ in range(n_steps)])
    observed, p = np.bincount(tokens, minlength=8), expected_probabilities(sampling)
    assert (p > 0).sum() == n_possible
    assert observed[p == 0].sum() == 0
    assert chisquare(observed[p > 0], p[p > 0] * len(tokens)).pvalue > 1e-3
    assert torch.cat(sampler.logprobs).numpy() == pytest.approx(LOGITS.log_softmax(-1)[tokens].numpy(), abs=1e-6)


def test_zero_temperature_is_greedy(model, tokenizer):
    prompt, greedy = PROMPTS[1], Sampling(8, temperature=0.0)
    (a,), (b,) = (TransformersEngine(model, tokenizer).generate([prompt], greedy, [seed]) for seed in (1, 2))
    with torch.inference_mode():
        logits_TV = model(torch.tensor([prompt + a.ids], device=model.device)).logits[0, len(prompt) - 1 : -1]
    assert a.ids == b.ids == logits_TV.argmax(-1).tolist()


def test_choose_is_a_plain_forward_pass(model, tokenizer):
    """Log-probabilities of the next token whatever the padding and the order; one pass a batch, last position only."""
    shapes = []
    model.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.logits.shape)))
    choices = [41, 7, tokenizer.eos_token_id]
    chosen = TransformersEngine(model, tokenizer, batch_size=5).choose(PROMPTS, choices)
    assert shapes == [(n, 1, model.config.vocab_size) for n in (5, 5, 2)]
    for prompt, logprobs in zip(PROMPTS, chosen, strict=True):
        assert logprobs == pytest.approx([forward_logprobs(model, prompt, [c])[0] for c in choices], abs=1e-5)
    assert TransformersEngine(model, tokenizer).choose([], choices) == []


def test_choose_where_positions_are_absolute(tokenizer):
    """Padding on the left moves no token: GPT-2 would notice, which adds an embedding of the position."""
    torch.manual_seed(0)
    shape = GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=32, n_layer=2, n_head=2, initializer_range=0.5)
    model = GPT2LMHeadModel(shape).eval()
    for prompt, logprobs in zip(PROMPTS, TransformersEngine(model, tokenizer).choose(PROMPTS, [41, 7]), strict=True):
        assert logprobs == pytest.approx([forward_logprobs(model, prompt, [c])[0] for c in (41, 7)], abs=1e-4)


def test_choose_asks_the_base_model(model, tokenizer, random_adapter):
    """Also when the last turn was an adapter's, whose cached prefix must not be used either."""
    engine = TransformersEngine(model, tokenizer)
    before = engine.choose(PROMPTS[:2], [41, 7])
    completions = engine.generate(PROMPTS[:2], TURN, SEEDS[:2], [random_adapter(1)] * 2)
    assert engine.choose(PROMPTS[:2], [41, 7]) == [pytest.approx(row, abs=1e-6) for row in before]
    longer = [p + c.ids + [17] for p, c in zip(PROMPTS, completions, strict=False)]
    with engine.model.disable_adapter():
        plain = [[forward_logprobs(engine.model, prompt, [c])[0] for c in (41, 7)] for prompt in longer]
    assert engine.choose(longer, [41, 7]) == [pytest.approx(row, abs=1e-5) for row in plain]


def test_every_end_token_ends_a_row(model, tokenizer):
    """More than one, as Qwen3 has: the same tokens as without, up to the first of either."""
    free = TransformersEngine(model, tokenizer).generate(PROMPTS, TURN, SEEDS)
    ends = {tokenizer.eos_token_id, free[0].ids[4], free[1].ids[2]}
    stopped = TransformersEngine(model, tokenizer, eos=sorted(ends)).generate(PROMPTS, TURN, SEEDS)
    for whole, row in zip(free, stopped, strict=True):
        first = next((at + 1 for at, token in enumerate(whole.ids) if token in ends), len(whole.ids))
        assert row.ids == whole.ids[:first]
        assert row.finish_reason == ("stop" if row.ids[-1] in ends else "length")
    assert [len(row.ids) < len(whole.ids) for whole, row in zip(free, stopped, strict=True)][:2] == [True, True]


def test_padding_with_an_end_token_changes_nothing(stopping, tokenizer):
    """SmolLM2 pads with its end of turn, Qwen3 with its other end token."""
    padded = copy.deepcopy(tokenizer)
    padded.pad_token = tokenizer.eos_token
    turns = []
    for pad in (tokenizer, padded):
        engine = TransformersEngine(stopping, pad)
        first = engine.generate(PROMPTS, TURN, SEEDS)
        longer = [p + c.ids + [17] for p, c in zip(PROMPTS, first, strict=True)]
        turns.append([(c.ids, c.finish_reason) for c in first + engine.generate(longer, TURN, SEEDS)])
    assert turns[0] == turns[1]
