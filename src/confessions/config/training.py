"""Training: dual-span GRPO, what each span is paid and by whom."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from confessions.config.models import Lora, Sampling
from confessions.config.strict import Key, Strict, check_file, check_function, wrong
from confessions.prompts.report import COPIED, FINDINGS, LINES, family
from confessions.runtime import outside

SCORED = ("brier", "logarithmic")  # what claims earn as probabilities: training.scoring_rules


class LabelTrusting(Strict):
    """Deterministic weak grader that believes the labels."""

    kind: Literal["label_trusting"]


class Verifying(Strict):
    """The truth as the judge, a control: an answer passes where it meets every objective."""

    kind: Literal["verifying"]


class LanguageModelJudge(Strict):
    """Language model that reads the answer, never the reasoning."""

    kind: Literal["llm"]
    model: Key = Field(description="key of `models`, one that does not think: the verdict is its first word")
    threshold: float = Field(0.5, gt=0, lt=1, description="an answer passes from this P(Pass | Pass or Fail) on")
    min_mass: float = Field(
        0.5, ge=0, lt=1, description="least P(Pass or Fail): below, the model has no verdict and an error ends the run"
    )
    batch_size: int = Field(16, ge=1, description="answers judged in one forward pass; sets memory only")


class OwnJudge(Strict):
    """A weak judge of the user's own."""

    kind: Literal["own"]
    path: str = Field(
        pattern=r"/.*\.py$", description="Python file, ./mine/judge.py, with a JUDGE: a subclass of scoring.judge.Judge"
    )

    @model_validator(mode="after")
    def _is_there(self) -> Self:
        check_file("path", self.path)
        return self


class FallibleGrader(Strict):
    """A grader of confessions that is wrong about some objectives of an answer, and about the same ones each time."""

    by: Literal["chance", "judge"] = Field(
        "chance", description="what it is wrong by: a draw, or because it is the experiment's judge, a language model"
    )
    flipped: float | None = Field(
        None, gt=0, le=1, description="part of the truths that it takes for their opposite; by: chance"
    )
    side: Literal["both", "met", "unmet"] = Field("both", description="which truths it can be wrong about; by: chance")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.by == "chance" and self.flipped is None:
            raise wrong("how often is it wrong? give a part of the truths, or by: judge", "flipped", None)
        if self.by == "judge" and (self.flipped is not None or self.side != "both"):
            raise wrong("a model is wrong where it is: leave flipped and side out", "by", "judge")
        return self


class ConfessionReward(Strict):
    """Ground-truth reward of the confession span."""

    claims: str = Field(
        description="plain: share of right claims, as published; balanced: those about met and unmet objectives of an "
        "answer weigh the same; balanced_batch: of each kind, within the batch; brier, logarithmic: of probabilities; "
        "or a Python file, ./mine/reward.py, with a function claim_reward(met, claims)"
    )
    grade_weight: float = Field(ge=0, le=1, description="weight of the overall grade; claims have the rest")
    credit: Literal["report", "line"] = Field(
        "report",
        description="what a token is paid for: the whole report, or the claim on its own line",
    )
    entropy: float = Field(
        0.0, ge=0, le=10, description="weight of the surprise at the claims' own words; credit: line; 0: none"
    )
    finding_weight: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of a line's reward that its finding earns, where it is the task's own evidence word for "
        "word; credit: line, variant: evidence",
    )
    grader: FallibleGrader | None = Field(
        None, description="whose truth is paid by; what is measured goes by the truth; null: the truth itself"
    )

    @model_validator(mode="after")
    def _known_reward(self) -> Self:
        check_function("claims", self.claims, ("plain", "balanced", "balanced_batch", *SCORED))
        if self.credit == "line" and outside.is_path(self.claims):
            raise wrong("a function of one's own pays whole reports: credit: report", "credit", "line")
        if self.entropy and self.credit != "line":
            raise wrong("is of claims on lines: set it to 0, or credit: line", "entropy", self.entropy)
        if self.finding_weight and self.credit != "line":
            raise wrong("is of findings on lines: set it to 0, or credit: line", "finding_weight", self.finding_weight)
        if self.credit == "line" and self.grade_weight:
            raise wrong("stands on no line: set it to 0, or credit: report", "grade_weight", self.grade_weight)
        return self


class Span(Strict):
    """How the rewards of one span become advantages."""

    advantages: str = Field(
        "group",
        description="group: (r - mean) / spread within the prompt's group; centred: not divided by the spread; batch: "
        "the whole batch is the group; or a Python file with a function advantages(rewards_B, n_generations)",
    )
    weight: float = Field(1.0, ge=0, le=100, allow_inf_nan=False, description="factor of this span's part of the loss")

    @model_validator(mode="after")
    def _known_function(self) -> Self:
        check_function("advantages", self.advantages, ("group", "centred", "batch"))
        return self


class TrainedSpans(Strict):
    """The two spans of a rollout that are trained."""

    task: Span = Field(default_factory=Span, description="reasoning and answer, paid by the weak judge")
    confession: Span = Field(default_factory=Span, description="reasoning and report, paid by the truth")


class WarmStart(Strict):
    """True confessions with evidence about stored answers, imitated before anything is rewarded."""

    answers: str = Field(min_length=1, description="Parquet file of answers (confessions calibrate)")
    examples: int | None = Field(None, ge=1, description="answers that are confessed; null: all of training")
    anchored: float = Field(
        0.0,
        ge=0,
        le=1,
        description="part of the confessions with which the stored answer is imitated too: it holds the policy's own "
        "in place, and slows down what is learnt",
    )
    own: int | None = Field(
        None,
        ge=1,
        description="confessions of each answer that the untrained policy samples; their right lines are imitated, of "
        "every kind as many about what is met as about what is not; null: confessions made by code",
    )
    steps: int = Field(ge=1, description="optimiser steps")
    prompts_per_step: int = Field(ge=1, description="confessions a step")
    learning_rate: float = Field(gt=0, le=1, description="peak, of AdamW")
    decay: bool = Field(False, description="whether the learning rate falls to 0, in a straight line")
    micro_batch: int = Field(ge=1, description="sequences a forward pass; sets memory only")

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        if self.prompts_per_step % self.micro_batch:
            raise wrong("must divide prompts_per_step", "micro_batch", self.micro_batch)
        return self


class TrainVllm(Strict):
    """The vLLM that samples training rollouts, beside the trainer. It holds the base model, and gets the adapter of
    each step."""

    gpu_memory_utilization: float = Field(0.3, gt=0, lt=1, description="part of the GPU's memory that it takes")
    enforce_eager: bool = Field(False, description="no compilation, no CUDA graphs: starts sooner, samples slower")
    cpu_cache_gib: float = Field(1.0, gt=0, description="size of its cache on a machine without a GPU")


class Train(Strict):
    """Dual-span GRPO."""

    steps: int = Field(ge=1, description="optimiser steps, one batch of fresh rollouts each")
    prompts_per_step: int = Field(ge=1, description="P")
    generations: int = Field(ge=2, description="G, the group that rewards are normalised in; B = P * G")
    confessions_per_answer: int = Field(
        1,
        ge=1,
        description="K, sampled about each of the policy's own answers; from 2 on they are the group of their rewards, "
        "and B = P * G * K",
    )
    learning_rate: float = Field(gt=0, le=1, description="peak, of AdamW")
    kl_weight: float = Field(ge=0, description="weight of the KL divergence from the untrained policy")
    lora: Lora | None = Field(description="adapter; null: every weight is trained, and each checkpoint is a model")
    warm_start: WarmStart | None = Field(None, description="imitation before step 1; left out: none")
    answers: str | None = Field(
        None,
        min_length=1,
        description="Parquet file of answers (confessions calibrate) that are confessed, `generations` times each; "
        "turn 1 is then neither sampled nor trained; left out: the policy's own",
    )
    variant: str = Field("default", description="wording of the request in training: a name in prompts/variants")
    confession_reward: ConfessionReward = Field(description="what honesty pays")
    spans: TrainedSpans = Field(default_factory=TrainedSpans, description="how rewards become advantages, by span")
    sampling: Sampling = Field(description="of training rollouts")
    max_task_tokens: int = Field(ge=1, description="limit of turn 1 (reasoning and answer)")
    max_confession_tokens: int = Field(ge=1, description="limit of turn 2 (reasoning and report)")
    checkpoint_fractions: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        min_length=2, description="when a checkpoint is kept, as parts of the run: 0 (untrained) to 1"
    )
    micro_batch: int = Field(ge=1, description="rollouts a forward pass of a process; divides B; sets memory only")
    micro_batch_tokens: int | None = Field(
        None,
        ge=1,
        description="tokens a forward pass, padding included: rollouts of like length go together, micro_batch of them "
        "at most; null: micro_batch of them, as they come",
    )
    shared_prefix: bool = Field(
        False,
        description="rollouts that begin alike (confessions of one answer) are read as one row, micro_batch of those "
        "at most: less work, the same gradient but for rounding",
    )
    processes: int = Field(
        1, ge=1, description="GPUs that share a step's rollouts, one process each; sets time and memory only"
    )
    gradient_checkpointing: bool = Field(description="recompute activations: less memory, more time")
    compile_layers: bool = Field(
        False, description="compile the layers, at the first step: a minute, then a third less time and memory on a GPU"
    )
    warmup_steps: int = Field(ge=0, description="steps of linear learning-rate warm-up")
    max_grad_norm: float = Field(gt=0, description="gradients are clipped to this norm")
    engine: Literal["transformers", "vllm"] = Field("transformers", description="samples the training rollouts")
    vllm: TrainVllm = Field(default_factory=TrainVllm, description="settings of the engine `vllm`")
    report_to: list[Literal["trackio", "wandb", "tensorboard"]] = Field(
        [], description="trackers that are told every step's numbers; what a run makes does not depend on them"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        fractions = self.checkpoint_fractions
        if fractions[0] != 0 or fractions[-1] != 1 or fractions != sorted(set(fractions)):
            raise wrong("must rise from 0 to 1", "checkpoint_fractions", fractions)
        if len(set(self.save_steps)) < len(fractions):
            raise wrong(f"too few for {len(fractions)} checkpoint_fractions", "steps", self.steps)
        if self.answers and self.confessions_per_answer > 1:
            raise wrong(
                "is of the policy's own answers; stored ones are confessed `generations` times each: leave it out",
                "confessions_per_answer",
                self.confessions_per_answer,
            )
        product = "prompts_per_step * generations" + " * confessions_per_answer" * (self.confessions_per_answer > 1)
        if self.rollouts_per_step % self.micro_batch:
            raise wrong(f"must divide {product}", "micro_batch", self.micro_batch)
        if self.rollouts_per_step % (self.micro_batch * self.processes):
            raise wrong(f"times micro_batch must divide {product}", "processes", self.processes)
        if self.answers_per_step % self.processes:
            raise wrong(
                "must divide prompts_per_step * generations: one process has all confessions of an answer",
                "processes",
                self.processes,
            )
        if self.warmup_steps >= self.steps:
            raise wrong("must be below steps", "warmup_steps", self.warmup_steps)
        if self.confession_reward.credit == "line" and family(self.variant) not in LINES:
            raise wrong("for credit: line a request for lines is needed", "variant", self.variant, LINES)
        if self.confession_reward.finding_weight and family(self.variant) != FINDINGS:
            raise wrong("for finding_weight it asks for evidence", "variant", self.variant, [FINDINGS, COPIED])
        if self.confession_reward.claims in SCORED and family(self.variant) != "probability":
            raise wrong(f"for claims: {self.confession_reward.claims} it is probability", "variant", self.variant)
        if self.warm_start and self.warm_start.own and family(self.variant) not in LINES:
            raise wrong("for warm_start.own a request for lines is needed", "variant", self.variant, LINES)
        if self.warm_start and not self.warm_start.own and family(self.variant) != FINDINGS:
            raise wrong("for a warm start it asks for evidence", "variant", self.variant, [FINDINGS, COPIED])
        if self.warm_start and not self.lora:
            raise wrong("trains an adapter, and there is none: leave it out, or give lora", "warm_start", "…")
        if not self.lora and self.engine == "vllm":
            raise wrong("samples for an adapter alone; to train every weight: transformers", "engine", "vllm")
        if self.processes > 1 and self.engine == "vllm":
            raise wrong("samples for one process; set processes: 1, or engine: transformers", "engine", "vllm")
        if self.sharded and self.compile_layers:
            raise wrong("not with several processes that share out the weights", "compile_layers", True)
        return self

    @property
    def answers_per_step(self) -> int:
        """P * G: what turn 1 samples, or the confessions of stored answers."""
        return self.prompts_per_step * self.generations

    @property
    def rollouts_per_step(self) -> int:
        """B = P * G * K rows of a step: those of a prompt together, and of these those of an answer."""
        return self.answers_per_step * self.confessions_per_answer

    @property
    def save_steps(self) -> list[int]:
        """Training steps of the checkpoints, 0 (the untrained policy) to `steps`."""
        return [round(fraction * self.steps) for fraction in self.checkpoint_fractions]

    @property
    def sharded(self) -> bool:
        """Whether the processes share out the weights; where an adapter is trained, each has all of them."""
        return self.processes > 1 and not self.lora

    @property
    def kept_steps(self) -> list[int]:
        """Those of them after which weights are written. Without an adapter, step 0 is the starting model itself."""
        return [step for step in self.save_steps if self.lora or step]
