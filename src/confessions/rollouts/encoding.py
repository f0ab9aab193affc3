"""Generated conversations as token ids of any model's chat, with the weight of each id in the loss."""

from confessions.models.chat import THINK, UNTHINK, Chat
from confessions.rollouts.two_turns import opening
from confessions.tasks import get as get_task
from confessions.tasks.base import Demonstration
from confessions.tasks.word_count.demonstrations import Talk

Row = tuple[list[int], list[float]]  # ids and the loss weight of each


class Encoder:
    """The weight is 0 outside what the model itself would have sampled."""

    def __init__(self, chat: Chat):
        self.chat = chat
        self.short_request = chat.request_ids("", turn_ended=True)

    def short(self, talk: Talk) -> Row:
        """Answer, bare request, counting: the counting alone is trained."""
        before = self.chat.turn_ids(talk.z, talk.y) + self.short_request
        counting = self.chat.tokenizer.encode(f"{THINK}{talk.zc}\n{UNTHINK}", add_special_tokens=False)
        return before + counting, [0.0] * len(before) + [1.0] * len(counting)

    def whole(self, shown: Demonstration, answer_weight: float = 1.0) -> Row:
        """The conversation exactly as rollouts lay it out."""
        task = get_task(shown.task)
        prompt = self.chat.prompt_ids(opening(task, shown.spec, shown.condition))
        request = self.chat.request_ids(task.request(shown.spec, shown.variant), turn_ended=True)
        answer, confession = self.chat.turn_ids(shown.z, shown.y), self.chat.turn_ids(shown.zc, shown.yc)
        parts = ((prompt, 0.0), (answer, answer_weight), (request, 0.0), (confession, 1.0))
        return [i for ids, _ in parts for i in ids], [weight for ids, weight in parts for _ in ids]
