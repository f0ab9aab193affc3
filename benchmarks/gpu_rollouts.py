"""Sampling at a shape: decoding steps of TransformersEngine, and what turn 2 computes again of turn 1."""

import argparse
from types import SimpleNamespace

import torch
from gpu_device import CUDA, Table, clear, device_seconds, peak_gib, random_model, timed
from gpu_shapes import REQUEST, Shape
from torch.profiler import ProfilerActivity, profile
from transformers import PreTrainedModel

from confessions.engines import Sampling
from confessions.engines.transformers import TransformersEngine


class Rollouts:
    """The section about rollouts; `copy_rate` is the device's measured one, in bytes a second."""

    def __init__(self, options: argparse.Namespace, table: Table):
        self.options, self.table = options, table
        self.short, self.long = (8, 16) if options.tiny else (32, 96)  # steps

    def measure(self, shape: Shape, copy_rate: float) -> None:
        model = random_model(shape)
        for n_rows in [8] if self.options.tiny else self.options.rows:
            context = 32 if self.options.tiny else self.options.context
            while context:  # the longest that fits
                try:
                    self._rows(model, shape, n_rows, context, copy_rate)
                    break
                except torch.OutOfMemoryError:
                    self.table.add(f"{shape.name}, {n_rows} rows at {context:,} tokens", note="does not fit")
                    context //= 2
                finally:
                    clear()

    def _rows(self, model: PreTrainedModel, shape: Shape, n_rows: int, context: int, copy_rate: float) -> None:
        short, long = self.short, self.long
        ends = SimpleNamespace(eos_token_id=shape.vocabulary - 1, pad_token_id=shape.vocabulary - 2)
        engine = TransformersEngine(model, ends, batch_size=n_rows)
        rng = torch.Generator().manual_seed(0)
        widths = torch.linspace(0.8 * context, 1.2 * context, n_rows).round().int().tolist()  # as rollouts differ

        def ids(n: int) -> list[int]:
            return torch.randint(shape.vocabulary - 2, (n,), generator=rng).tolist()

        def fresh(prompts: list[list[int]], steps: int) -> list:
            nonlocal engine
            engine = TransformersEngine(model, ends, batch_size=n_rows)  # with no prefix in its cache
            return engine.generate(prompts, Sampling(steps), range(n_rows))

        prompts = [ids(n) for n in widths]
        fresh(prompts, 1)  # warm-up
        seconds = {n: timed(lambda n=n: fresh(prompts, n)) for n in (short, long)}
        step = (seconds[long] - seconds[short]) / (long - short)
        middle = [n + (short + long) // 2 for n in widths]
        floor = shape.decode_bytes(middle) / copy_rate
        reading = seconds[short] - short * step
        self.table.add(
            f"{shape.name} decode, {n_rows} rows at {round(sum(middle) / n_rows):,} tokens",
            step,
            n_rows / step,
            peak_gib(),
            floor / step,
            f"floor {1e3 * floor:.1f} ms; prompts {sum(widths) / reading:,.0f} tokens/s",
            floor=floor,
            n_rows=n_rows,
        )
        answers = fresh(prompts, long)  # which leaves its prefixes in `engine`
        self._turn_2(engine, shape, [p + a.ids + ids(REQUEST) for p, a in zip(prompts, answers, strict=True)])
        if CUDA:
            with profile(activities=[ProfilerActivity.CUDA]) as profiler:
                fresh(prompts, short)
            events = sorted(profiler.key_averages(), key=device_seconds, reverse=True)
            longest = "; ".join(f"{e.key[:40]} {device_seconds(e):.2f} s/{e.count}" for e in events[:6])
            busy = sum(map(device_seconds, events))
            self.table.add(f"{shape.name} prompts and {short} steps, GPU busy", busy, note=longest)

    def _turn_2(self, engine: TransformersEngine, shape: Shape, prompts: list[list[int]]) -> None:
        n_rows, computed = len(prompts), []
        hook = engine.model.register_forward_pre_hook(
            lambda module, args, kwargs: computed.append(kwargs["input_ids"].numel()), with_kwargs=True
        )
        try:
            seconds = timed(lambda: engine.generate(prompts, Sampling(self.short), range(n_rows)))
        finally:
            hook.remove()
        prefix = sum(map(len, prompts)) - REQUEST * n_rows
        again = computed[0] - REQUEST * n_rows
        self.table.add(
            f"{shape.name} turn 2, {n_rows} rows, {self.short} steps",
            seconds,
            n_rows * self.short / seconds,
            peak_gib(),
            note=f"computed again: {again:,} of {prefix:,} prefix tokens, {again / prefix:.2%}",
            again=again,
            prefix=prefix,
        )
