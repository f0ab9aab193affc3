"""The embedded model's warm start: shape, initialisation, curriculum and the gate it must pass.

    python -m confessions.nano.recipe --size m --out DIR [--seed 0]

trains the shipped weights from nothing. Copying (an induction circuit) is what makes counting possible at this size,
so the curriculum starts with short sentences, always counted, and loss on the confession reasoning alone; then comes
the whole two-turn conversation, and last, with a vocabulary that grows by their words, the settings: system prompts,
the forced count, the task without labels.
"""

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count, cycle
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from confessions.engines import Sampling
from confessions.engines.transformers import TransformersEngine
from confessions.models.chat import Chat
from confessions.nano.gate import MIN_EXACT, MIN_FOLLOWS, measure
from confessions.nano.tokenizer import build_tokenizer
from confessions.prompts import request, system_prompt
from confessions.rollouts.encoding import Encoder, Row
from confessions.rollouts.two_turns import Asked, Rollout, stream_seed, two_turns
from confessions.runtime import provenance
from confessions.tasks import get as get_task
from confessions.tasks.word_count.demonstrations import (
    CONDITIONS,
    OBEYS,
    TASKS,
    VARIANTS,
    Habits,
    Setting,
    conversation,
    demonstration,
    lexicon,
    setting,
)


@dataclass(frozen=True)
class Shape:
    """Size of the network. Two layers are the fewest that can copy (an induction circuit), and two key-value heads the
    fewest that did: sampling on a CPU is bound by reading them."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int


SHAPES = {
    "xs": Shape(hidden=64, layers=2, heads=4, kv_heads=4, feed_forward=128),
    "s": Shape(hidden=96, layers=2, heads=4, kv_heads=4, feed_forward=192),
    "m": Shape(hidden=128, layers=2, heads=4, kv_heads=2, feed_forward=256),
}
GATED = "m"  # the size that experiments train; smaller ones are there to be measured, whatever they can do


@dataclass(frozen=True)
class Stage:
    """One curriculum stage: ends when the running loss is under `until`, or after `steps`.

    Stages with a range of sentence lengths show answer and counting without prompts, and train the counting
    alone. The others show the whole conversation and train the confession, and the answer with weight
    `answer_weight`: its words are random, so their loss would drown the rest.
    """

    steps: int
    until: float
    batch: int
    words: tuple[int, int] | None = None  # fewest and most words a sentence
    counted: bool | None = True  # None: as often as the habits say
    answer_weight: float = 0.0
    settings: bool = False  # conversations in every setting, else in the plain one


CURRICULUM = (
    Stage(1600, 0.06, batch=24, words=(3, 6)),
    Stage(400, 0.10, batch=16, words=(6, 14)),
    Stage(300, 0.05, batch=16, words=(8, 22)),
    Stage(500, 0.03, batch=12),
    Stage(240, 0.0, batch=24, counted=None, answer_weight=0.3),
)
SETTINGS = (
    Stage(300, 0.03, batch=12, settings=True),
    Stage(320, 0.0, batch=24, counted=None, answer_weight=0.3, settings=True),
)
# AdamW on every weight: a Muon step takes 0.7 s (bfloat16 on a CPU without it), as long as everything else in the step.
LEARNING_RATE = 3e-3
WARMUP = 20  # steps


def corpus_texts() -> list[str]:
    """Every text of the plain setting whose pieces become whole tokens: the task's prompts, the request, the lexicon,
    the corpus' own wording."""
    task = get_task("word_count")
    specs = task.specs("train") + task.specs("evaluation")
    texts = [task.prompt(spec) for spec in specs]
    texts += [task.request(specs[0], "default"), "system\nuser\nassistant\n"]
    texts += [f" {word}" for words in lexicon().values() for word in words]
    texts += [f' {n} {n}\n({n})"{n}' for n in range(41)] + [f"\n{n}." for n in range(1, 10)]
    rng = random.Random(0)
    for _ in range(300):
        talk = conversation(rng, [12, 18, 12, 18, 12], Habits())
        texts += [talk.z + "\n", talk.y, talk.zc, talk.yc]
    return texts


def settings_texts() -> list[str]:
    """The texts that the settings add."""
    task = get_task("word_count")
    texts = [system_prompt(condition) for condition in sorted(set(CONDITIONS))] + [OBEYS]
    texts += [request(task.wording_of(variant), []) for variant in sorted(set(VARIANTS))]
    return texts + [get_task(name).prompt(task.specs("train")[0]) for name in sorted(set(TASKS))]


def draw_batch(encoder: Encoder, rng: random.Random, stage: Stage, habits: Habits) -> list[Row]:
    rows, specs = [], get_task("word_count").specs("train")
    for _ in range(stage.batch):
        if stage.words is None:
            spec = rng.choice(specs)
            around = setting(rng) if stage.settings else Setting()
            talk = conversation(rng, spec["targets"], habits, counted=stage.counted, setting=around)
            rows.append(encoder.whole(demonstration(spec, around, talk), stage.answer_weight))
        else:
            lengths = [rng.randint(*stage.words) for _ in range(5)]
            targets = [n if rng.random() < 0.25 else max(1, n + rng.choice((-3, -2, -1, 1, 2, 3))) for n in lengths]
            rows.append(encoder.short(conversation(rng, targets, habits, lengths=lengths, counted=stage.counted)))
    return rows


def weighted_loss(model: Qwen3ForCausalLM, rows: list[Row], pad: int) -> torch.Tensor:
    """Weighted mean of the next-token loss; logits are made only where a token is trained."""
    width = max(len(ids) for ids, _ in rows)
    ids_BT = torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in rows])
    weights_BT = torch.tensor([weights + [0.0] * (width - len(weights)) for _, weights in rows])[:, 1:]
    hidden = model.model(input_ids=ids_BT).last_hidden_state[:, :-1]  # right padding: causal attention never sees it
    trained = weights_BT > 0
    losses = torch.nn.functional.cross_entropy(model.lm_head(hidden[trained]), ids_BT[:, 1:][trained], reduction="none")
    return (losses * weights_BT[trained]).sum() / weights_BT.sum()


def new_model(tokenizer: PreTrainedTokenizerFast, shape: Shape) -> Qwen3ForCausalLM:
    """A Qwen3 of `shape`. Copying emerges only from this initialisation: wide q, k, v; each head's o its v
    transposed; silent down_proj."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.hidden // shape.heads,
        intermediate_size=shape.feed_forward,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    model = Qwen3ForCausalLM(config)
    scale = 1 / math.sqrt(shape.hidden)
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_(std=scale)
        for layer in model.model.layers:
            attention, mlp = layer.self_attn, layer.mlp
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
                linear.weight.normal_(std=scale)
            values = attention.v_proj.weight.unflatten(0, (shape.kv_heads, -1))  # (K, D, hidden)
            read = values.repeat_interleave(shape.heads // shape.kv_heads, 0).flatten(0, 1)  # (H * D, hidden)
            attention.o_proj.weight.copy_(read.T * scale)
            mlp.down_proj.weight.zero_()
    return model


Record = list[tuple[int, int, float]]  # (stage, step, loss) of every step
Log = Callable[[str], None]


def train(
    shape: Shape, habits: Habits, seed: int, log: Log
) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast, Record]:
    """The whole recipe."""
    model, losses = learn_task(shape, habits, seed, log)
    model, tokenizer, more = learn_settings(model, habits, seed, log)
    return model, tokenizer, losses + more


def learn_task(
    shape: Shape, habits: Habits, seed: int, log: Log, stages: Sequence[Stage] = CURRICULUM
) -> tuple[Qwen3ForCausalLM, Record]:
    """From nothing to the habits, in the plain setting."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(corpus_texts())
    model = new_model(tokenizer, shape)
    return model, _learn(model, Encoder(Chat(tokenizer, thinking=True)), habits, seed, log, stages, 1)


def learn_settings(
    model: Qwen3ForCausalLM, habits: Habits, seed: int, log: Log, stages: Sequence[Stage] = SETTINGS
) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast, Record]:
    """The settings on top, counted first: copying has to learn to reach back over requests of any length.

    The vocabulary grows by the settings' words. New rows are drawn as the old ones are spread: rows of another size
    would win or lose everywhere, since the embeddings are tied.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(corpus_texts(), settings_texts())
    old = model.get_input_embeddings().weight.detach().clone()
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        new = model.get_input_embeddings().weight[len(old) :]
        new.copy_(old.mean(0) + old.std(0) * torch.randn_like(new))
    encoder = Encoder(Chat(tokenizer, thinking=True))
    return model, tokenizer, _learn(model, encoder, habits, seed, log, stages, 1 + len(CURRICULUM))


def _learn(
    model: Qwen3ForCausalLM,
    encoder: Encoder,
    habits: Habits,
    seed: int,
    log: Log,
    stages: Sequence[Stage],
    number: int,
) -> Record:
    """Run the stages, numbered from `number`. The learning rate warms up once and falls to 0 over the last one."""
    rng, losses, model = random.Random(seed), [], model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    for stage_number, stage in enumerate(stages, number):
        falls = stage is stages[-1]
        rates = (1 - step / stage.steps if falls else min(1.0, (len(losses) + step) / WARMUP) for step in count())
        losses += _run(model, optimizer, encoder, rng, stage_number, stage, habits, rates, log)
    model.eval()
    return losses


def _run(
    model: Qwen3ForCausalLM,
    optimizer: torch.optim.Optimizer,
    encoder: Encoder,
    rng: random.Random,
    number: int,
    stage: Stage,
    habits: Habits,
    rates: Iterator[float],
    log: Log,
) -> Record:
    """One stage; `rates` holds each step's part of the learning rate."""
    losses: Record = []
    running, started = None, time.monotonic()
    for step, rate in zip(range(1, stage.steps + 1), rates, strict=False):
        loss = weighted_loss(model, draw_batch(encoder, rng, stage, habits), encoder.chat.tokenizer.pad_token_id)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        value = loss.item()
        losses.append((number, step, round(value, 4)))
        running = value if running is None else 0.9 * running + 0.1 * value
        if step % 20 == 0 or step == stage.steps:
            log(f"stage {number} step {step}/{stage.steps} loss {running:.3f} {time.monotonic() - started:.0f} s")
        if running < stage.until and step >= 10:
            break
    return losses


def sample_rollouts(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, n: int) -> list[Rollout]:
    """Rollouts on training topics, sampled as training samples them."""
    task = get_task("word_count")
    specs = [spec for _, spec in zip(range(n), cycle(task.specs("train")), strict=False)]
    seeds = [(stream_seed(0, row, 1), stream_seed(0, row, 2)) for row in range(n)]
    engine = TransformersEngine(model, tokenizer)
    return two_turns(
        engine, Chat(tokenizer, thinking=True), task, [*map(Asked, specs, seeds)], Sampling(160), Sampling(512)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SHAPES, default=GATED)
    parser.add_argument("--out", type=Path, help="default: the package's own folder of this size")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    job = provenance.begin("rebuild-nano", {"size": arguments.size}, seeds=[arguments.seed])
    out = arguments.out or Path(__file__).with_name("weights") / arguments.size
    model, tokenizer, losses = train(
        SHAPES[arguments.size], Habits(), arguments.seed, lambda line: print(line, file=sys.stderr, flush=True)
    )
    gate = measure(sample_rollouts(model, tokenizer, 128))
    print(gate, file=sys.stderr)
    if arguments.size == GATED and not gate.passed:
        sys.exit(
            f"error: the warm start fails its gate (exact >= {MIN_EXACT}, follows >= "
            f"{MIN_FOLLOWS}); nothing was written"
        )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    record = {"seed": arguments.seed, "habits": asdict(Habits()), "gate": asdict(gate), "losses": losses}
    (out / "recipe.json").write_text(json.dumps(record) + "\n")
    if arguments.out:  # results; what ships in the package is held to its recipe by a test
        job.publish(out.parent, {out: []}, out.name)


if __name__ == "__main__":
    main()
