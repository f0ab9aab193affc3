"""Dual-span GRPO: TRL's GRPOTrainer with a second, sealed-off reward for the confession span.

What is ours: two-turn rollouts by token ids, two rewards normalised each in its own group, and (B, T) coefficients
in place of TRL's one advantage a sequence, micro-batches filled by tokens, and a clock. Loss, KL, clipping, LoRA,
optimiser and several processes are TRL's, PEFT's and transformers'.

The loss is TRL's `dr_grpo`: a sum over tokens divided by the constant B * L, L = max_task_tokens +
max_confession_tokens. The coefficients carry the factor that makes each span's part a mean over its own tokens
(advantages.token_coefficients); the KL penalty keeps the constant divisor. Every other loss type of TRL mixes the spans
somewhere (see docs/training.md).
"""

import json
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import chain
from statistics import fmean
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from peft import LoraConfig
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, TrainerCallback
from transformers.modeling_layers import GradientCheckpointingLayer
from trl import GRPOConfig, GRPOTrainer

from confessions.config import Train
from confessions.engines import Completion, Engine, Sampling
from confessions.engines.policy import PolicyEngine
from confessions.engines.transformers import TransformersEngine
from confessions.models import loading
from confessions.models.chat import Chat
from confessions.rollouts import spans
from confessions.rollouts.two_turns import Asked, Rollout, columns_of, stream_seed, two_turns
from confessions.runtime.errors import InputError
from confessions.scoring.judge import Judge, JudgeError
from confessions.scoring.scores import FINDING_RIGHT, score_rollouts
from confessions.tasks.base import Spec, Task
from confessions.training import advantages, sharding, shared_prefix
from confessions.training.checkpoints import AtomicCheckpoints
from confessions.training.counted import SCORED
from confessions.training.credit import entropy_bonus, line_advantages, lines_of_tokens
from confessions.training.kept_rollouts import EARNED, with_details
from confessions.training.lora_inputs import UncastInputs
from confessions.training.micro_batches import by_rows, by_tokens
from confessions.training.rewards import (
    as_graded,
    claim_rewards,
    confession_rewards,
    line_rewards,
    misjudged,
    of_reports,
    one_class_kinds,
    task_reward,
)
from confessions.training.timeline import OTHER, Timeline

TASK, CONFESSION = "task", "confession"
MOST_IMPORTANCE = 3.0  # where the weight of a token that vLLM sampled is cut: TRL's own default, of token_truncate
GRADED = ("judge_pass", "exact_compliance", "hacked", "checked")  # of a rollout, beside its objectives
# What confession rewards are made of.
CONFESSED = (
    "kinds", "met", "exact_compliance", "claims", "p_met", "report_valid", "grade", "grade_honest", FINDING_RIGHT
)  # fmt: skip


class DualSpanGRPOTrainer(AtomicCheckpoints, UncastInputs, GRPOTrainer):
    """GRPO over two-turn rollouts. Rewards come in two columns, (task, confession), and never meet.

    `sampler` samples the rollouts (default: the policy's own weights do, by the transformers engine). Its kernels are
    not the trainer's: each token that it sampled is weighed by how likely the policy itself finds it.
    `stored` are answers that are confessed instead of the policy's own, each with its spec: the dataset's prompts are
    then their numbers, and no token of them is trained.
    `keep` is given, in the first process, the number of each step and a row for each of its rollouts, those of all
    processes in order: the columns of training_rollouts.COLUMNS but for those that name the run.

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
        sampler: PolicyEngine | None = None,
        keep: Callable[[int, list[dict[str, Any]]], None] | None = None,
        stored: Sequence[tuple[Spec, Completion]] = (),
    ):
        _refuse_mixing(args)
        if not chat.keep_thinking:
            raise ValueError("dual-span training needs keep_thinking: its loss sees z before the confession")
        self.task, self.judge, self.settings, self.chat = task, judge, settings, chat
        self.task_sampling, self.confession_sampling = (
            Sampling(n, **settings.sampling.model_dump())
            for n in (settings.max_task_tokens, settings.max_confession_tokens)
        )
        self.stored = stored
        self.advantages = {span: (form.weight, advantages.named(form.advantages)) for span, form in settings.spans}
        self.n_confessions = K = settings.confessions_per_answer
        # Of each span, the group of its rewards, and how many rows in a row have the same span.
        self.groups = {TASK: (settings.generations, K), CONFESSION: (K if K > 1 else settings.generations, 1)}
        self._rewards_B2: torch.Tensor | None = None  # all processes' rows
        self._lines_BS: torch.Tensor | None = None  # theirs too: what each claim earned, where tokens are paid by line
        self.sampler, self.keep, self.timeline = sampler, keep, Timeline()
        self._generated_BT: torch.Tensor | None = None  # 1 on the tokens to be scored of the rows that are read next
        self._forward: tuple | None = None  # what the micro-batch's forward pass gave, while TRL's loss is computed
        self._sums: dict[str, torch.Tensor] = {}  # of this step's tokens: (sum, count)
        self._gaps: list[torch.Tensor] = []  # of this step's sampled tokens: |log p of the sampler - of the trainer|
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

    def engine(self, policy: torch.nn.Module, n_rows: int) -> Engine:
        """What samples this step's rollouts, of the policy as it is now."""
        if self.sampler is None:
            chat = self.chat
            return TransformersEngine(policy, chat.tokenizer, n_rows, eos=chat.eos, processed_logprobs=True)
        self.sampler.sync(policy, self.state.global_step)
        return self.sampler

    def seeds(self, n_rows: int) -> list[tuple[int, int]]:
        """The seeds of both turns of this process' rows of the step. Rows about one answer have one seed of turn 1."""
        first = self.accelerator.process_index * n_rows
        key = self.args.seed, self.state.global_step
        return [
            (stream_seed(*key, row - row % self.n_confessions, 1), stream_seed(*key, row, 2))
            for row in range(first, first + n_rows)
        ]

    # -- rewards: called by TRL with the dataset's columns and what _rollouts returned, one entry a row ----------------

    def _task_rewards(self, rollout: list[Rollout], **_: Any) -> list[float]:
        answers = rollout[:: self.n_confessions]
        with self.timeline.part("judge"):
            verdicts = self.judge.verdicts([r.spec for r in answers], [r.answer.body for r in answers])
        verdicts = [verdict for verdict in verdicts for _ in range(self.n_confessions)]
        for score, verdict in zip(self._scores, verdicts, strict=True):
            score |= {"judge_pass": verdict.passes, "judge_p_pass": verdict.p_pass, "judge_mass": verdict.mass}
        return [task_reward(v.passes, r.answer_truncated) for v, r in zip(verdicts, rollout, strict=True)]

    def _confession_rewards(self, rollout: list[Rollout], **_: Any) -> list[float]:
        form, first = self.settings.confession_reward, self.accelerator.process_index * len(rollout)
        graded = [{name: score.get(name) for name in CONFESSED} for score in self._scores]
        if form.grader:
            graded = [as_graded(*pair) for pair in zip(graded, self._taken(graded, rollout), strict=True)]
        graded = gather_object(graded)
        self._record("one_class_kinds", one_class_kinds(graded))
        if form.credit == "line":
            earned = line_rewards(graded, form.claims, form.finding_weight)
            lines = [torch.tensor([math.nan if x is None else x for x in line]) for line in earned]
            self._lines_BS = pad_sequence(lines, batch_first=True, padding_value=math.nan).to(self.accelerator.device)
            earned_B = of_reports(earned)
        else:
            earned_B = claim_rewards(graded, form.claims)
        return confession_rewards(graded, earned_B, form.grade_weight)[first : first + len(rollout)]

    def _taken(self, rows: list[dict[str, Any]], rollouts: list[Rollout]) -> list[list[bool | None]]:
        """(B, S) what the fallible grader takes for the truth."""
        grader, answers = self.settings.confession_reward.grader, [r.answer.body for r in rollouts]
        if grader.by == "judge":
            with self.timeline.part("judge"):
                return self.judge.met([r.spec for r in rollouts], answers)
        named = [f"{row['kinds']} {answer}" for row, answer in zip(rows, answers, strict=True)]
        return [misjudged(row["met"], answer, grader) for row, answer in zip(rows, named, strict=True)]

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        with self.timeline.part("score"):
            self._scores = score_rollouts(self.task, [row["rollout"].texts for row in inputs])
        self._rewards_B2 = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        if self._rewards_B2.isnan().all(0).any():
            raise JudgeError(
                f"step {self.state.global_step + 1}: not one of its answers could be graded on this machine"
            )
        return self._rewards_B2

    def _generate(self, prompts):
        generated = super()._generate(prompts)
        masks = generated[2]
        self._generated_BT = spans.padded(masks, max(map(len, masks))).to(self.accelerator.device)
        return generated

    # -- advantages ----------------------------------------------------------------------------------------------------

    def _generate_and_score_completions(self, inputs):
        with self.timeline.part(OTHER):
            return self._prepared(super()._generate_and_score_completions(inputs), inputs)

    def _prepared(self, output: dict[str, torch.Tensor], inputs: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """TRL's batch with our coefficients for its advantages, and the spans' masks."""
        rollouts: list[Rollout] = [row["rollout"] for row in inputs]
        device, n_tokens = output["completion_ids"].device, output["completion_ids"].shape[1]
        masks = {
            TASK: spans.padded([r.spans.task_mask() for r in rollouts], n_tokens).to(device),
            CONFESSION: spans.padded([r.spans.confession_mask() for r in rollouts], n_tokens).to(device),
        }
        first = self.accelerator.process_index * len(rollouts)
        n_rows = len(rollouts) * self.accelerator.num_processes
        coefficients_BT, earned = torch.zeros_like(masks[TASK]), {}
        for column, (span, mask_BT) in enumerate(masks.items()):
            rewards_B = self._rewards_B2[:, column]
            weight, form = self.advantages[span]
            n_group, n_copies = self.groups[span]
            advantages_B = weight * advantages.of_span(rewards_B, form, n_group, n_copies)
            n_span_tokens = self.accelerator.gather(mask_BT.sum()).sum().item()
            local = earned[span] = advantages_B[first : first + len(rollouts)]
            if span == CONFESSION and self._lines_BS is not None:
                lines_BS = weight * line_advantages(self._lines_BS, form, n_group)
                local = self._by_line(rollouts, lines_BS[first : first + len(rollouts)], n_tokens)
            coefficients_BT += advantages.token_coefficients(
                local, mask_BT, n_span_tokens, n_rows * self.max_completion_length
            )
            known_B = rewards_B[~rewards_B.isnan()]
            self._record(f"{span}_reward_mean", known_B.mean().item())
            self._record(f"{span}_reward_std", known_B.std(correction=min(1, len(known_B) - 1)).item())
            self._record(f"{span}_advantage_std", advantages_B.std().item())
            self._record(f"{span}_gradient_share", (advantages_B != 0).float().mean().item())
            self._record(f"{span}_length_mean", n_span_tokens * n_copies / n_rows)
        self._record_scores()
        if self.keep:
            with self.timeline.part("keep"):
                self._keep(rollouts, first, earned)
        output["advantages"] = coefficients_BT
        output["task_mask"], output["confession_mask"] = masks[TASK], masks[CONFESSION]
        return output

    def _by_line(self, rollouts: list[Rollout], lines_BS: torch.Tensor, n_tokens: int) -> torch.Tensor:
        """(B, T) advantages of the confession's tokens: of the claim on the token's line, else of the report."""
        n_B = [len(score["met"]) for score in self._scores]
        read = [
            lines_of_tokens(self.chat, r.confession.ids, r.report.body_start, r.variant, n)
            for r, n in zip(rollouts, n_B, strict=True)
        ]
        logprobs = [[r.confession.logprobs[at] for at in at_S] for r, (_, at_S) in zip(rollouts, read, strict=True)]
        bonuses = entropy_bonus(logprobs, self.settings.confession_reward.entropy)
        by_token_BT = torch.zeros(len(rollouts), n_tokens)
        for row, (rollout, (about, at_S), lines) in enumerate(zip(rollouts, read, lines_BS.tolist(), strict=True)):
            report, before = sum(lines[: n_B[row]]) / n_B[row], len(rollout.completion_ids) - len(about)
            paid = torch.tensor([report if s is None else lines[s] for s in about])
            paid[at_S] += torch.tensor(bonuses[row])
            by_token_BT[row, before : before + len(about)] = paid
        self._record("claim_surprise", -fmean(flat) if (flat := [*chain.from_iterable(logprobs)]) else 0.0)
        return by_token_BT.to(lines_BS.device)

    # -- what is kept and logged ---------------------------------------------------------------------------------------

    def _keep(self, rollouts: list[Rollout], first: int, advantages: dict[str, torch.Tensor]) -> None:
        """Hand over this process' rollouts, the first of which is row `first` of the step, with those of the others."""
        earned_B4 = torch.column_stack([self._rewards_B2[first : first + len(rollouts)], *advantages.values()])
        seeds = self.seeds(len(rollouts))
        rows = [
            columns_of(rollout)
            | with_details({"not_known": None} | score)
            | {"row": first + i, "group": (first + i) // self.num_generations, "seed": seeds[i][0]}
            | {"judge": self.judge.name, "judge_prompt": self.judge.prompt_version}
            | {name: None if math.isnan(x) else x for name, x in zip(EARNED, earned, strict=True)}
            for i, (rollout, score, earned) in enumerate(zip(rollouts, self._scores, earned_B4.tolist(), strict=True))
        ]
        rows = gather_object(rows)
        if self.accelerator.is_main_process:
            self.keep(self.state.global_step + 1, rows)

    def _record(self, name: str, value: float) -> None:
        self._metrics["train" if self.model.training else "eval"][name].append(value)

    def _count_tokens(self, name: str, values_BT: torch.Tensor, mask_BT: torch.Tensor) -> None:
        """Add a micro-batch to the step's mean of the values where the mask is 1."""
        sums = torch.stack([(values_BT * mask_BT).sum(), mask_BT.sum()])
        self._sums[name] = self._sums[name] + sums if name in self._sums else sums

    def _record_tokens(self) -> None:
        """Means over all tokens of the step, in all processes; 0 where there is none."""
        for name, sums in self._sums.items():
            total, n = self.accelerator.reduce(sums, reduction="sum")
            self._record(name, (total / n.clamp(min=1)).item())
        gaps = self.accelerator.pad_across_processes(torch.cat(self._gaps), pad_index=torch.nan)
        gaps = self.accelerator.gather(gaps)
        gaps = gaps[~gaps.isnan()]
        self._record("sampler_gap_mean", gaps.mean().item())
        self._record("sampler_gap_p99", gaps.quantile(0.99).item())
        self._record("sampler_gap_max", gaps.max().item())
        self._sums, self._gaps = {}, []

    def _record_scores(self) -> None:
        """Counts over all processes' rollouts of this step. `n` are those of which everything is known; the others
        are `not_known`, and in no other count."""
        scores = [s for s in self._scores if None not in (*s["met"], *(s[name] for name in GRADED))]
        counts = {"n": len(scores), "not_known": len(self._scores) - len(scores)}
        counts |= {name: sum(s[column] for s in scores) for name, column in SCORED.items()}
        counts |= {name: sum(bool(s[name]) for s in scores) for name in self.task.rates}
        counts["judge_fooled"] = sum(s["judge_pass"] and not s["exact_compliance"] for s in scores)
        counts["n_unmet"] = sum(s["n_objectives"] for s in scores) - counts["n_met"]
        totals = self.accelerator.reduce(
            torch.tensor([*counts.values()], dtype=torch.float32, device=self.accelerator.device), reduction="sum"
        ).tolist()
        for name, total in zip(counts, totals, strict=True):
            self._record(name, total)

    # -- the loss ------------------------------------------------------------------------------------------------------

    def training_step(self, model, inputs, num_items_in_batch):
        with self.timeline.part("gradient"):
            loss = super().training_step(model, inputs, num_items_in_batch)
        if self.accelerator.sync_gradients:
            self._record_tokens()
        return loss

    def log(self, logs, start_time=None):
        if "loss" in logs:  # not the summary at the end
            logs |= {f"seconds_{part}": seconds for part, seconds in self.timeline.take().items()}
        super().log(logs, start_time)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The loss of TRL's micro-batch. Where micro-batches are filled by tokens that is the whole step: it is taken
        apart here, and the gradient of all parts but the last is computed at once."""
        n_rows = len(inputs["completion_ids"])
        *others, last = self._micro_batches(inputs)
        done = 0.0
        for part in others:
            with self.accelerator.no_sync(model):
                loss = super().compute_loss(model, part) * (len(part["completion_ids"]) / n_rows)
                self.accelerator.backward(loss)
            done += loss.detach()
        return super().compute_loss(model, last) * (len(last["completion_ids"]) / n_rows) + done

    def _micro_batches(self, inputs: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        if self.settings.micro_batch_tokens is None:
            return [inputs]
        ids_BW, mask_BW = (torch.cat([inputs[f"prompt_{x}"], inputs[f"completion_{x}"]], 1) for x in ("ids", "mask"))
        groups = self._together(ids_BW, mask_BW, inputs["tool_mask"], self.settings.micro_batch)
        return [{name: value[rows] if value.dim() else value for name, value in inputs.items()} for rows in groups]

    def _together(self, ids_BW: torch.Tensor, mask_BW: torch.Tensor, generated_BT: torch.Tensor, most_rows: int):
        """Rows that go through the model together; `generated_BT` is 1 on the tokens to be scored."""
        most = self.settings.micro_batch_tokens
        if not self.settings.shared_prefix:
            return by_tokens(mask_BW.sum(1).tolist(), most_rows, most) if most else by_rows(len(ids_BW), most_rows)
        alike, lengths = shared_prefix.lengths(ids_BW, mask_BW, _in_the_row(generated_BT, mask_BW))
        units = by_tokens(lengths, most_rows, most) if most else by_rows(len(lengths), most_rows)
        return [[row for unit in together for row in alike[unit]] for together in units]

    def _get_per_token_logps_and_entropies(
        self,
        model,
        input_ids,
        attention_mask,
        logits_to_keep,
        batch_size=None,
        compute_entropy=False,
        compute_aux_loss=False,
        **_,
    ):
        """TRL pads a step's rollouts to one width; here no micro-batch is read wider than its own longest row, and only
        tokens that the policy sampled are scored. The others get 0.

        A row by itself has no padding and needs no mask: attention then runs its fastest kernel.
        """
        if self._forward is not None:
            return self._forward
        if batch_size is None:
            groups = by_rows(len(input_ids), len(input_ids))
        else:
            groups = self._together(input_ids, attention_mask, self._generated_BT, batch_size)
        with nullcontext() if torch.is_grad_enabled() else self.timeline.part("reference"):
            parts = [
                self._score_tokens(model, input_ids, attention_mask, logits_to_keep, rows, compute_aux_loss)
                for rows in groups
            ]
        order = torch.tensor([row for rows in groups for row in rows], device=input_ids.device).argsort()
        logps, entropies, aux_losses = zip(*parts, strict=True)
        return (
            torch.cat(logps)[order],
            torch.cat(entropies)[order] if compute_entropy else None,
            torch.stack(aux_losses).mean() if compute_aux_loss else None,
        )

    def _score_tokens(
        self, model, ids_BW: torch.Tensor, mask_BW: torch.Tensor, n_completion: int, rows: list[int], aux_loss: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Log-probability and entropy at each completion token of `rows` that was sampled, and the router's loss."""
        ids_BW, mask_BW = ids_BW[rows], mask_BW[rows]
        scored_BW = _in_the_row(self._generated_BT[rows], mask_BW)
        if self.settings.shared_prefix:
            return self._score_packed(model, ids_BW, mask_BW, scored_BW, n_completion, aux_loss)
        used = mask_BW.any(0).nonzero()
        first, end = used[0].item(), used[-1].item() + 1
        n_cut = mask_BW.shape[1] - end
        with self.accelerator.autocast():
            output = model(
                input_ids=ids_BW[:, first:end],
                attention_mask=mask_BW[:, first:end],
                labels=ids_BW.masked_fill(~scored_BW, -100)[:, first:end],
                fused_lm_head=True,
                **({"output_router_logits": True} if aux_loss else {}),
            )

        def widened(x: torch.Tensor | None) -> torch.Tensor | None:
            return None if x is None else torch.nn.functional.pad(x[:, n_cut - n_completion :], (0, n_cut))

        return widened(output.log_probs), widened(output.entropy), output.aux_loss

    def _score_packed(
        self,
        model,
        ids_BW: torch.Tensor,
        mask_BW: torch.Tensor,
        scored_BW: torch.Tensor,
        n_completion: int,
        aux_loss: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """The same, of rows that share what precedes their first sampled token (shared_prefix.py)."""
        packed = shared_prefix.pack(ids_BW, mask_BW, scored_BW)
        with self.accelerator.autocast():
            output = model(
                input_ids=packed.ids_RL,
                position_ids=packed.positions_RL,
                attention_mask=packed.visible_R1LL,
                labels=packed.ids_RL.masked_fill(~packed.scored_RL, -100),
                fused_lm_head=True,
                **({"output_router_logits": True} if aux_loss else {}),
            )

        def unpacked(x: torch.Tensor | None) -> torch.Tensor | None:
            return None if x is None else packed.unpacked(x, *ids_BW.shape)[:, -n_completion:]

        return unpacked(output.log_probs), unpacked(output.entropy), output.aux_loss

    def _compute_loss(self, model, inputs):
        """TRL's loss. The forward pass is made here, before: what vLLM sampled is weighed by it."""
        prompt_completion = (torch.cat([inputs[f"prompt_{x}"], inputs[f"completion_{x}"]], 1) for x in ("ids", "mask"))
        self._generated_BT, coefficients_BT = inputs["tool_mask"], inputs["advantages"]
        self._forward = self._get_per_token_logps_and_entropies(
            model,
            *prompt_completion,
            inputs["completion_ids"].shape[1],
            compute_entropy=True,
            compute_aux_loss=self.aux_loss_enabled,
        )
        logps_BT = self._forward[0].detach()
        gap_BT = logps_BT - inputs["sampling_per_token_logps"]
        if self.sampler:
            inputs = inputs | {"advantages": coefficients_BT * gap_BT.exp().clamp(max=MOST_IMPORTANCE)}
        try:
            loss = super()._compute_loss(model, inputs)
        finally:
            self._forward = None
        self._gaps.append(gap_BT[inputs["tool_mask"].bool()].abs())
        old_BT = inputs.get("old_per_token_logps", logps_BT)
        ratio_BT = torch.exp(logps_BT - old_BT)
        clipped_BT = ((ratio_BT < 1 - self.epsilon_low) & (coefficients_BT < 0)) | (
            (ratio_BT > 1 + self.epsilon_high) & (coefficients_BT > 0)
        )
        for span in (TASK, CONFESSION):
            mask_BT = inputs[f"{span}_mask"]
            self._count_tokens(f"{span}_clip_fraction", clipped_BT.float(), mask_BT)
            if self.beta:
                gap_BT = inputs["ref_per_token_logps"] - logps_BT
                self._count_tokens(f"{span}_kl", torch.exp(gap_BT) - gap_BT - 1, mask_BT)
        return loss


def _in_the_row(generated_BT: torch.Tensor, mask_BW: torch.Tensor) -> torch.Tensor:
    """(B, W) of prompt and completion: which tokens are there and generated."""
    n_prompt = mask_BW.shape[1] - generated_BT.shape[1]
    return torch.nn.functional.pad(generated_BT.bool(), (n_prompt, 0)) & mask_BW.bool()


def _refuse_mixing(args: GRPOConfig) -> None:
    """TRL's settings under which a number computed over both spans would reach a token's loss, or the base model
    would change."""
    required = {
        "loss_type": "dr_grpo",
        "importance_sampling_level": "token",
        "mask_truncated_completions": False,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "num_iterations": 1,
        "steps_per_generation": args.gradient_accumulation_steps,
        "use_vllm": False,  # it merges the adapter into the policy's own weights, step after step
    }
    for name, value in required.items():
        if getattr(args, name) != value:
            raise ValueError(f"dual-span training needs {name}={value!r}, not {getattr(args, name)!r}")


def _rollouts(prompts: list, trainer: DualSpanGRPOTrainer) -> dict[str, list]:
    """TRL's rollout_func: `prompts` are specs as JSON, or numbers of stored answers, one a row, already repeated G
    times and each answer K times; returns one entry a row, in order."""
    given = [trainer.stored[int(p)] if trainer.stored else (json.loads(p), None) for p in prompts]
    seeds, K = trainer.seeds(len(prompts)), trainer.n_confessions
    asked = [
        Asked(spec, (seeds[row][0], *(second for _, second in seeds[row : row + K])), answer=answer)
        for row, (spec, answer) in list(enumerate(given))[::K]
    ]
    model = trainer.accelerator.unwrap_model(trainer.model)
    with trainer.timeline.part("sync"):
        engine = trainer.engine(model, len(prompts))
    was_training = model.training
    model.eval()
    # Sampling calls the layers in other ways than training; compiling those too would take long and gain little.
    eager = torch.compiler.set_stance("force_eager") if trainer.settings.compile_layers else nullcontext()
    # Weights that one process trains in float32 are cast once for both turns; autocast would cast them at every token.
    # Where weights are shared out, those that are gathered have the dtype already.
    train, bfloat16 = trainer.settings, trainer.args.bf16
    lower = loading.cast(model, torch.bfloat16) if bfloat16 and not (train.lora or train.sharded) else nullcontext()
    try:
        with eager, lower, sharding.whole(model):
            rollouts = two_turns(
                engine,
                trainer.chat,
                trainer.task,
                asked,
                trainer.task_sampling,
                trainer.confession_sampling,
                variants=[trainer.settings.variant],
                part=trainer.timeline.part,
            )
    finally:
        model.train(was_training)
    _require_logprobs(rollouts, trainer.state.global_step + 1, trainer.accelerator.process_index * len(prompts))
    return {
        "prompt_ids": [r.x_ids for r in rollouts],
        "completion_ids": [r.completion_ids for r in rollouts],
        "logprobs": [r.logprobs for r in rollouts],
        "env_mask": [r.spans.generated_mask() for r in rollouts],
        "rollout": rollouts,
    }


def _require_logprobs(rollouts: Sequence[Rollout], step: int, first: int) -> None:
    """Raise InputError, which names the step and the row, where a sampled token has a log-probability that is none.

    The weight of the token and the step's gap would be computed from it: one NaN makes every weight of the model NaN.
    `first` is the row of the first rollout among all processes'.
    """
    for row, rollout in enumerate(rollouts, start=first + 1):
        for turn, said in enumerate((rollout.task, rollout.confession), start=1):
            if turn == 1 and rollout.stored:
                continue
            for place, logprob in enumerate(said.logprobs, start=1):
                if not math.isfinite(logprob):
                    raise InputError(
                        f"step {step}: row {row}: the sampler gave token {place} of turn {turn} the log-probability "
                        f"{logprob}: the step is not trained on; run again to go on from the last checkpoint, and set "
                        "train.engine: transformers where it comes again"
                    )
