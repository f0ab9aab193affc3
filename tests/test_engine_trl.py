"""Training rollouts from vLLM: our side against the installed TRL, whose server is a stand-in of its own signature."""

import inspect
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from accelerate import Accelerator
from trl import GRPOConfig, GRPOTrainer
from trl.generation.vllm_client import VLLMClient
from trl.generation.vllm_generation import VLLMGeneration

from confessions import train as training
from confessions import trainer as trainer_module
from confessions.config import Train, TrainVllm
from confessions.engines import Completion, Sampling
from confessions.engines import vllm as vllm_module
from confessions.engines.trl import ServerEngine, training_engine
from confessions.engines.vllm import VllmEngine
from confessions.errors import InputError

SETTINGS = {
    "steps": 1, "prompts_per_step": 2, "generations": 2, "learning_rate": 1e-3, "kl_weight": 0.0,
    "lora": {"rank": 2, "alpha": 4.0, "target_modules": "all-linear"},
    "confession_reward": {"claims": "plain", "grade_weight": 0.2},
    "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0},
    "max_task_tokens": 20, "max_confession_tokens": 30, "checkpoint_fractions": [0.0, 1.0],
    "micro_batch": 4, "gradient_checkpointing": False, "warmup_steps": 0, "max_grad_norm": 1.0, "engine": "vllm",
}  # fmt: skip


def settings(**vllm: object) -> Train:
    return Train.model_validate(SETTINGS | {"vllm": TrainVllm(**vllm)})


def generation(mode: str, **attributes: object) -> VLLMGeneration:
    """TRL's own object, made without starting a vLLM; its server answers each prompt with its last id, 4 and 7."""

    def answer(prompts, n, logprobs, **_):
        assert n == 1
        rows = [[prompt[-1], 4, 7] for prompt in prompts]
        scores = [[[-0.5 * prompt[0]], [-2.0], [-3.0]] for prompt in prompts]
        return {"prompt_ids": prompts, "completion_ids": rows, "logprobs": scores,
                "logprob_token_ids": [[[token] for token in row] for row in rows]}  # fmt: skip

    made = object.__new__(VLLMGeneration)
    client = mock.create_autospec(VLLMClient, instance=True)
    client.generate.side_effect = answer
    sampling = {"repetition_penalty": 1.0, "temperature": 0.3, "top_p": 0.2, "top_k": 9, "min_p": None, "logprobs": 0}
    others = {"max_completion_length": 999, "generation_kwargs": {}, "structured_outputs_regex": None}
    processes = {"mode": mode, "accelerator": Accelerator(cpu=True), "vllm_client": client, "tensor_parallel_size": 1}
    vars(made).update(sampling | others | processes | {"enable_sleep_mode": False} | attributes)
    return made


def test_a_server_samples_each_turn_by_our_settings():
    """Through TRL's own generate; rows that are the same prompt are asked for one by one, each with its own answer."""
    made = generation("server")
    engine = training_engine(made, SimpleNamespace(eos_token_id=7), 64)
    assert isinstance(engine, ServerEngine)
    prompts = [[1, 5], [1, 5], [2, 6]]
    done = engine.generate(prompts, Sampling(3, temperature=0.8, top_p=0.9, top_k=4), [1, 2, 3])
    assert done == [
        Completion([5, 4, 7], [-0.5, -2.0, -3.0], "stop"),
        Completion([5, 4, 7], [-0.5, -2.0, -3.0], "stop"),
        Completion([6, 4, 7], [-1.0, -2.0, -3.0], "stop"),
    ]
    sent = made.vllm_client.generate.call_args.kwargs
    assert sent["prompts"] == prompts
    assert (sent["max_tokens"], sent["temperature"], sent["top_p"], sent["top_k"]) == (3, 0.8, 0.9, 4)
    assert sent["generation_kwargs"] == {"ignore_eos": True, "stop_token_ids": [7]}
    (cut,) = ServerEngine(made, SimpleNamespace(eos_token_id=2), 64).generate([[1, 5]], Sampling(3), [1])
    assert cut.finish_reason == "length"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt_ids": [[9]]}, "answered other prompts"),
        ({"logprob_token_ids": [[[5], [4], [8]]]}, "not those of the sampled tokens"),
    ],
)
def test_a_server_that_answers_something_else_is_an_error(changes, message):
    made = generation("server")
    given = {"prompt_ids": [[1, 5]], "completion_ids": [[5, 4, 7]], "logprobs": [[[-1.0]] * 3],
             "logprob_token_ids": [[[5], [4], [7]]]}  # fmt: skip
    made.vllm_client.generate.side_effect = None
    made.vllm_client.generate.return_value = given | changes
    with pytest.raises(RuntimeError, match=message):
        training_engine(made, SimpleNamespace(eos_token_id=7), 64).generate([[1, 5]], Sampling(3), [1])


def test_colocated_vllm_is_our_engine_over_trls():
    llm = SimpleNamespace(model_config=SimpleNamespace(max_model_len=99))
    engine = training_engine(generation("colocate", llm=llm), SimpleNamespace(eos_token_id=7), 8, [7, 8])
    assert isinstance(engine, VllmEngine)
    assert (engine.llm, engine.context, engine.batch_size, engine.eos) == (llm, 99, 8, [7, 8])


@pytest.mark.parametrize("attribute", [{"enable_sleep_mode": True}, {"tensor_parallel_size": 2}])
def test_settings_that_two_turns_do_not_bear(attribute):
    with pytest.raises(ValueError, match=next(iter(attribute))):
        training_engine(generation("colocate", llm=None, **attribute), SimpleNamespace(eos_token_id=7), 8)


def test_the_settings_are_trls_arguments(tmp_path):
    beside = training.trainer_arguments(settings(gpu_memory_utilization=0.4), 0, tmp_path, "float32")
    assert (beside.use_vllm, beside.vllm_mode, beside.vllm_gpu_memory_utilization) == (True, "colocate", 0.4)
    apart = training.trainer_arguments(settings(mode="server", server_url="http://a:1"), 0, tmp_path, "float32")
    assert (apart.vllm_mode, apart.vllm_server_base_url) == ("server", "http://a:1")
    for args in (beside, apart):
        trainer_module._refuse_mixing(args)
        args.vllm_importance_sampling_mode = "sequence_mask"
        with pytest.raises(ValueError, match="vllm_importance_sampling_mode='token_truncate'"):
            trainer_module._refuse_mixing(args)
    plain = training.trainer_arguments(
        Train.model_validate(SETTINGS | {"engine": "transformers"}), 0, tmp_path, "float32"
    )
    assert not plain.use_vllm


@pytest.mark.parametrize(
    ("installed", "message"), [(False, "vLLM is not installed here"), (True, "train.engine: vllm needs a GPU")]
)
def test_training_where_vllm_cannot(tmp_path, monkeypatch, installed, message):
    monkeypatch.setattr(vllm_module, "find_spec", lambda name: installed or None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in vllm_module._ENVIRONMENT:
        monkeypatch.setenv(name, "1")
    with pytest.raises(InputError, match=message):
        training.run(settings(), 0, None, None, tmp_path / "model", "float32", True, "", tmp_path / "work")


def test_trl_still_has_the_parts_that_are_used():
    """Fails loudly when TRL moves them (pinned; see pyproject.toml)."""
    expected = ["self", "prompts", "images", "num_generations", "profiler"]
    assert list(inspect.signature(VLLMGeneration.generate).parameters) == expected
    source = inspect.getsource(GRPOTrainer._generate)
    assert 0 < source.index("self.vllm_generation.sync_weights()") < source.index("output = self.rollout_func(")
    source = inspect.getsource(VLLMGeneration)
    assert "self.llm.reset_prefix_cache()" in source
    assert "self.vllm_client.reset_prefix_cache()" in source
    assert "self.llm = LLM(" in source
    documented = inspect.getdoc(GRPOConfig) or ""
    for name in ("token_truncate", "vllm_server_base_url", "vllm_gpu_memory_utilization"):
        assert name in documented
