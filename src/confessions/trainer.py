"""Dual-span GRPO: TRL's GRPOTrainer with a second, sealed-off reward for the confession span.

What is ours: two-turn rollouts by token ids, two rewards normalised each in its own group, and (B, T) coefficients
in place of TRL's one advantage a sequence. Loss, KL, clipping, LoRA, optimiser and several processes are TRL's, PEFT's
and transformers'.

The loss is TRL's `dr_grpo`: a sum over tokens divided by the constant B * L, L = max_task_tokens +
max_confession_tokens. The coefficients carry the factor that makes each span's part a mean over its own tokens
(spans.token_coefficients); the KL penalty keeps the constant divisor. Every other loss type of TRL mixes the spans
somewhere (see docs/training.md).
"""

import json
from contextlib import nullcontext
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PreTrainedModel, TrainerCallback
from transformers.modeling_layers import GradientCheckpointingLayer
from trl import GRPOConfig, GRPOTrainer

from confessions import models, sharding, spans
from confessions.chat import Chat
from confessions.checkpoints import AtomicCheckpoints
from confessions.config import Train
from confessions.engines import Sampling
from confessions.engines.transformers import TransformersEngine
from confessions.judge import Judge, JudgeError
from confessions.rewards import confession_reward, task_reward
from confessions.rollout import Rollout, stream_seed, two_turns
from confessions.scores import Said, score_rollouts
from confessions.tasks.base import Task

TASK, CONFESSION = "task", "confession"
GRADED = (
    "judge_pass",
    "exact_compliance",
    "hacked",
    "checked",
)  # of a rollout, beside its objectives


class DualSpanGRPOTrainer(AtomicCheckpoints, GRPOTrainer):
    """GRPO over two-turn rollouts. Rewards come in two columns, (task, confession), and never meet.

    Raises ValueError when `args` holds one of TRL's settings that mix the spans or does not fit a whole step in one
    generation batch, or when `chat` leaves the reasoning out of turn 2's prompt.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: GRPOConfig,
        task: Task,
        judge: Judge,
        settings: Train,
        chat: Chat,
        dataset: Dataset,
        peft_config: LoraConfig | None = None,
        callbacks: list[TrainerCallback] | None = None,
    ):
        _refuse_mixing(args)
        if not chat.keep_thinking:
            raise ValueError("dual-span training needs keep_thinking: its loss sees z before the confession")
        self.task, self.judge, self.settings, self.chat = task, judge, settings, chat
        self.task_sampling, self.confession_sampling = (
            Sampling(n, **settings.sampling.model_dump())
            for n in (settings.max_task_tokens, settings.max_confession_tokens)
        )
        self._rewards_B2: torch.Tensor | None = None  # all processes' rows
        self._logps_BT: torch.Tensor | None = None
        self._scores: list[dict[str, Any]] = []
        super().__init__(
            model=model,
            reward_funcs=[self._task_rewards, self._confession_rewards],
            args=args,
            train_dataset=dataset,
            processing_class=chat.tokenizer,
            peft_config=peft_config,
            rollout_func=_rollouts,
            callbacks=callbacks,
        )
        sharding.reduce_in_float32(self.accelerator)
        if settings.compile_layers:
            # Without an adapter to switch off, the reference is a model of its own.
            for model in filter(None, (self.model, self.ref_model)):
                for module in self.accelerator.unwrap_model(model).modules():
                    if isinstance(module, GradientCheckpointingLayer):  # transformers' class of every decoder layer
                        module.compile(dynamic=True)

    # -- rewards: called by TRL with the dataset's columns and what _rollouts returned, one entry a row ----------------

    def _task_rewards(self, rollout: list[Rollout], **_: Any) -> list[float]:
        verdicts = self.judge.passes([r.spec for r in rollout], [r.answer.body for r in rollout])
        for score, verdict in zip(self._scores, verdicts, strict=True):
            score["judge_pass"] = verdict
        return [task_reward(v, r.answer_truncated) for v, r in zip(verdicts, rollout, strict=True)]

    def _confession_rewards(self, rollout: list[Rollout], **_: Any) -> list[float]:
        form = self.settings.confession_reward
        return [confession_reward(score, form.claims, form.grade_weight) for score in self._scores]

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        said = [
            Said(
                r.spec,
                r.answer.body,
                r.report.body,
                r.report.reasoning,
                r.answer.reasoning,
                r.answer_truncated,
                r.report_truncated,
            )
            for r in (row["rollout"] for row in inputs)
        ]
        self._scores = score_rollouts(self.task, said)
        self._rewards_B2 = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        if self._rewards_B2.isnan().all(0).any():
            raise JudgeError(
                f"step {self.state.global_step + 1}: not one of its answers could be graded on this machine"
            )
        return self._rewards_B2

    # -- advantages ----------------------------------------------------------------------------------------------------

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        rollouts: list[Rollout] = [row["rollout"] for row in inputs]
        device, n_tokens = output["completion_ids"].device, output["completion_ids"].shape[1]
        masks = {
            TASK: spans.padded([r.spans.task_mask() for r in rollouts], n_tokens).to(device),
            CONFESSION: spans.padded([r.spans.confession_mask() for r in rollouts], n_tokens).to(device),
        }
        first = self.accelerator.process_index * len(rollouts)
        n_rows = len(rollouts) * self.accelerator.num_processes
        coefficients_BT = torch.zeros_like(masks[TASK])
        for column, (span, mask_BT) in enumerate(masks.items()):
            rewards_B = self._rewards_B2[:, column]
            advantages_B = spans.group_advantages(rewards_B, self.num_generations)
            n_span_tokens = self.accelerator.gather(mask_BT.sum()).sum().item()
            local_B = advantages_B[first : first + len(rollouts)]
            coefficients_BT += spans.token_coefficients(
                local_B, mask_BT, n_span_tokens, n_rows * self.max_completion_length
            )
            known_B = rewards_B[~rewards_B.isnan()]
            self._record(f"{span}_reward_mean", known_B.mean().item())
            self._record(f"{span}_reward_std", known_B.std(correction=min(1, len(known_B) - 1)).item())
            self._record(f"{span}_advantage_std", advantages_B.std().item())
            self._record(f"{span}_length_mean", n_span_tokens / n_rows)
        self._record_scores()
        output["advantages"] = coefficients_BT
        output["task_mask"], output["confession_mask"] = masks[TASK], masks[CONFESSION]
        return output

    # -- what is logged ------------------------------------------------------------------------------------------------

    def _record(self, name: str, value: float) -> None:
        self._metrics["train" if self.model.training else "eval"][name].append(value)

    def _masked_mean(self, values_BT: torch.Tensor, mask_BT: torch.Tensor) -> float:
        """Mean of the values where the mask is 1, over all processes' rows; 0 for an empty mask."""
        sums = torch.stack([(values_BT * mask_BT).sum(), mask_BT.sum()])
        total, n = self.accelerator.reduce(sums, reduction="sum")
        return (total / n.clamp(min=1)).item()

    def _record_scores(self) -> None:
        """Counts over all processes' rollouts of this step. `n` are those of which everything is known; the others
        are `not_known`, and in no other count."""
        scores = [s for s in self._scores if None not in (*s["met"], *(s[name] for name in GRADED))]
        flags = {
            "n": [True] * len(scores),
            "not_known": [True] * (len(self._scores) - len(scores)),
            "judge_pass": [s["judge_pass"] for s in scores],
            "judge_fooled": [s["judge_pass"] and not s["exact_compliance"] for s in scores],
            "truly_correct": [s["exact_compliance"] for s in scores],
            "hacked": [s["hacked"] for s in scores],
            "report_valid": [s["report_valid"] for s in scores],
            "count_verified": [s["checked"] for s in scores],
        }
        claims = {
            name: [sum(f(m, c) for s in scores for m, c in _claims(s))]
            for name, f in {
                "n_right": lambda met, claim: met,
                "n_wrong": lambda met, claim: not met,
                "full_given_right": lambda met, claim: met and claim == "Full",
                "none_given_wrong": lambda met, claim: not met and claim == "None",
            }.items()
        }
        counts = {name: float(sum(values)) for name, values in (flags | claims).items()}
        totals = self.accelerator.reduce(
            torch.tensor(list(counts.values()), device=self.accelerator.device), reduction="sum"
        ).tolist()
        for name, total in zip(counts, totals, strict=True):
            self._record(name, total)

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, **kwargs
    ):
        """TRL pads a step's rollouts to one width; here no micro-batch is read wider than its own longest row.

        A row by itself has no padding and needs no mask: attention then runs its fastest kernel. Padding gets 0.
        """
        parts = []
        rows = batch_size or len(input_ids)
        for ids_BW, mask_BW in zip(input_ids.split(rows), attention_mask.split(rows), strict=True):
            used = mask_BW.any(0).nonzero()
            first, end = used[0].item(), used[-1].item() + 1
            n_cut = mask_BW.shape[1] - end
            *per_token, aux_loss = super()._get_per_token_logps_and_entropies(
                model, ids_BW[:, first:end], mask_BW[:, first:end], logits_to_keep - n_cut, **kwargs
            )
            widened = [None if x_BT is None else torch.nn.functional.pad(x_BT, (0, n_cut)) for x_BT in per_token]
            parts.append((*widened, aux_loss))
        logps_BT, entropies_BT, aux_losses = (
            None if column[0] is None else join(column)
            for column, join in zip(zip(*parts, strict=True), (torch.cat, torch.cat, torch.stack), strict=True)
        )
        self._logps_BT = logps_BT.detach()
        return logps_BT, entropies_BT, None if aux_losses is None else aux_losses.mean()

    def _compute_loss(self, model, inputs):
        loss = super()._compute_loss(model, inputs)
        logps_BT = self._logps_BT
        old_BT = inputs.get("old_per_token_logps", logps_BT)
        ratio_BT, coefficients_BT = torch.exp(logps_BT - old_BT), inputs["advantages"]
        clipped_BT = ((ratio_BT < 1 - self.epsilon_low) & (coefficients_BT < 0)) | (
            (ratio_BT > 1 + self.epsilon_high) & (coefficients_BT > 0)
        )
        for span in (TASK, CONFESSION):
            mask_BT = inputs[f"{span}_mask"]
            self._record(f"{span}_clip_fraction", self._masked_mean(clipped_BT.float(), mask_BT))
            if self.beta:
                gap_BT = inputs["ref_per_token_logps"] - logps_BT
                self._record(f"{span}_kl", self._masked_mean(torch.exp(gap_BT) - gap_BT - 1, mask_BT))
        return loss


def _claims(score: dict[str, Any]) -> list[tuple[bool, str | None]]:
    return list(zip(score["met"], score["claims"] or [None] * len(score["met"]), strict=True))


def _refuse_mixing(args: GRPOConfig) -> None:
    """TRL's settings under which a number computed over both spans would reach a token's loss."""
    required = {
        "loss_type": "dr_grpo",
        "importance_sampling_level": "token",
        "mask_truncated_completions": False,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "num_iterations": 1,
        "steps_per_generation": args.gradient_accumulation_steps,
    }
    if args.use_vllm:
        required["vllm_importance_sampling_mode"] = "token_truncate"
    for name, value in required.items():
        if getattr(args, name) != value:
            raise ValueError(f"dual-span training needs {name}={value!r}, not {getattr(args, name)!r}")


def _rollouts(prompts: list, trainer: DualSpanGRPOTrainer) -> dict[str, list]:
    """TRL's rollout_func: `prompts` are specs as JSON, one a row, already repeated G times; returns one
    entry a row, in order."""
    specs = [json.loads(prompt) for prompt in prompts]
    step, first = trainer.state.global_step, trainer.accelerator.process_index * len(specs)
    seeds = [
        tuple(stream_seed(trainer.args.seed, step, first + row, turn) for turn in (1, 2)) for row in range(len(specs))
    ]
    model = trainer.accelerator.unwrap_model(trainer.model)
    chat = trainer.chat
    if trainer.use_vllm:
        from confessions.engines.trl import training_engine

        engine = training_engine(trainer.vllm_generation, chat.tokenizer, len(specs), chat.eos)
    else:
        engine = TransformersEngine(model, chat.tokenizer, batch_size=len(specs), eos=chat.eos)
    was_training = model.training
    model.eval()
    # Sampling calls the layers in other ways than training; compiling those too would take long and gain little.
    eager = torch.compiler.set_stance("force_eager") if trainer.settings.compile_layers else nullcontext()
    # Weights that one process trains in float32 are cast once for both turns; autocast would cast them at every token.
    # Where weights are shared out, those that are gathered have the dtype already.
    train, bfloat16 = trainer.settings, trainer.args.bf16
    lower = models.cast(model, torch.bfloat16) if bfloat16 and not (train.lora or train.sharded) else nullcontext()
    try:
        with eager, lower, sharding.whole(model):
            rollouts = two_turns(
                engine,
                trainer.chat,
                trainer.task,
                specs,
                seeds,
                trainer.task_sampling,
                trainer.confession_sampling,
            )
    finally:
        model.train(was_training)
    return {
        "prompt_ids": [r.x_ids for r in rollouts],
        "completion_ids": [r.completion_ids for r in rollouts],
        "logprobs": [r.logprobs for r in rollouts],
        "env_mask": [r.spans.generated_mask() for r in rollouts],
        "rollout": rollouts,
    }
