"""Two turns with a reward each on TRL's GRPOTrainer: no token is trained with the other turn's reward.

A `rollout_func` returns, beside TRL's own columns, `turn`: for each completion token 1, 2, or 0 where nothing is
trained (then `env_mask` is 0 too). There is one reward function a turn.
"""

import torch
from torch.nn.utils.rnn import pad_sequence
from trl import GRPOConfig, GRPOTrainer

from confessions.training.advantages import centred, of_span, token_coefficients


class TwoRewards(GRPOTrainer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        wanted = {"loss_type": "dr_grpo", "num_iterations": 1, "mask_truncated_completions": False}
        if any(getattr(self.args, name) != value for name, value in wanted.items()):
            raise ValueError(f"of other settings a loss mixes the turns: {wanted} are needed")

    def _calculate_rewards(self, *args):
        self.rewards_B2 = super()._calculate_rewards(*args)  # a column for each reward function
        return self.rewards_B2

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        ids_BT, n = output["completion_ids"], len(inputs)
        turn_BT = pad_sequence([torch.tensor(row["turn"]) for row in inputs], batch_first=True).to(ids_BT.device)
        output["advantages"] = torch.zeros_like(turn_BT, dtype=torch.float32)
        for column, rewards_B in enumerate(self.rewards_B2.unbind(1)):
            mask_BT = (turn_BT == column + 1).float()
            advantages_B = of_span(rewards_B, centred, self.num_generations)
            # TRL divides the sum over tokens by n * max_completion_length; of each turn it becomes a mean of its own.
            normalizer = n * self.max_completion_length
            output["advantages"] += token_coefficients(advantages_B, mask_BT, mask_BT.sum().item(), normalizer)
        return output


def arguments(output: str, **more) -> GRPOConfig:
    return GRPOConfig(output, loss_type="dr_grpo", beta=0.0, report_to=[], **more)
