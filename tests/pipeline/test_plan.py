"""The plan's arithmetic, exact on a small experiment; its shapes against the real architectures."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from test_architectures import FULL, model_of
from typer.testing import CliRunner

from confessions import nano, prompts, tasks
from confessions.cli import app
from confessions.config import Config, load
from confessions.models import costs, loading
from confessions.pipeline.paths import calibration_file
from confessions.pipeline.plan import sizes
from confessions.pipeline.plan.jobs import CHARS_PER_TOKEN
from confessions.pipeline.plan.plan import Plan
from confessions.pipeline.plan.text import render, table
from confessions.runtime.errors import InputError
from confessions.tasks.instructions import calibration
from confessions.tasks.instructions.instances import PARTS

ROOT = Path(__file__).parents[2]
BASE = yaml.safe_load((ROOT / "config.yaml").read_text())


def small(**changes: object) -> Config:
    """Qwen3-8B judged by Qwen3-4B: 10 steps of 2 x 4 rollouts; 2 seeds, 3 checkpoints, 2 x 2 cells of 5."""
    data = copy.deepcopy(BASE)
    experiment = data["experiments"]["reproduction"]
    experiment |= {"seeds": [0, 1], "scale": ["qwen3-1.7b", "qwen3-8b"], "ladder": []}
    experiment["train"] |= {
        "steps": 10, "prompts_per_step": 2, "generations": 4, "max_task_tokens": 100, "max_confession_tokens": 200,
        "checkpoint_fractions": [0, 0.5, 1], "micro_batch": 2, "gradient_checkpointing": True,
    }  # fmt: skip
    experiment["evaluation"] |= {
        "conditions": ["baseline", "hard"], "variants": ["default", "forced_count"], "rollouts": 5,
        "max_task_tokens": 1000, "max_confession_tokens": 2000, "batch_size": 4,
    }  # fmt: skip
    experiment["survey"]["rollouts"] = 7
    return load(data | {"experiment": "reproduction"} | changes)


def length(text: str) -> int:
    return -(-len(text) // CHARS_PER_TOKEN)


@pytest.fixture
def plan() -> Plan:
    return Plan(small(), "H200", "transformers")


@pytest.fixture
def texts() -> dict[str, int]:
    """Tokens of x, of x after the hard system prompt, of both requests, of the judge's prompt."""
    task = tasks.get("word_count")
    spec = task.specs("evaluation")[0]
    x = task.prompt(spec)
    requests = {name: length(task.request(spec, name)) for name in ("default", "forced_count")}
    judge = length(prompts.load("judge"))
    return {"x": length(x), "hard": length(prompts.system_prompt("hard") + x), "judge": judge} | requests


def test_jobs_and_tokens(plan, texts):
    jobs = {(job.rule, job.model): job for job in plan.jobs()}
    assert {key: job.n for key, job in jobs.items() if key[0] == "train_policy"} == {("train_policy", "qwen3-8b"): 2}
    built = [model for rule, model in jobs if rule == "build_model"]
    assert built == ["qwen3-8b", "qwen3-4b-instruct", "qwen3-1.7b"]

    train = jobs["train_policy", "qwen3-8b"]  # 2 seeds * 10 steps * 8 rollouts
    assert (train.turn1, train.turn2) == (160 * 100, 160 * 200)
    assert train.prompt == 160 * (texts["x"] + texts["default"])
    assert train.trained == 160 * (texts["x"] + 100 + texts["default"] + 200)
    assert train.judged == 160 * (texts["judge"] + texts["x"] + 100)

    policy = jobs["sample_policy", "qwen3-8b"]
    grid, survey, axis = 2 * 3 * 2 * 5, 2 * 2 * 7, 5  # answers; both variants ask about each of the grid and the axis
    assert policy.turn1 == (grid + survey + axis) * 1000
    assert policy.turn2 == (2 * grid + survey + 2 * axis) * 2000
    assert ("sample_model", "qwen3-8b") not in jobs  # its rollouts are the policy's job
    other = jobs["sample_model", "qwen3-1.7b"]
    assert (other.turn1, other.turn2) == (5 * 1000, 10 * 2000)
    assert other.prompt == 5 * (texts["x"] + texts["default"] + texts["forced_count"])
    assert other.length == texts["x"] + 1000 + max(texts["default"], texts["forced_count"]) + 2000

    assert ("score_model", "qwen3-8b") not in jobs
    assert jobs["score_policy", ""].judged == (grid + axis) * (texts["judge"] + texts["x"] + 1000)
    assert jobs["score_model", "qwen3-1.7b"].judged == 5 * (texts["judge"] + texts["x"] + 1000)


@pytest.mark.parametrize("shared", [False, True])
def test_several_confessions_of_an_answer_are_counted(texts, shared):
    """Three of each: the answer is sampled and judged once, and with `shared_prefix` read once."""
    config = small()
    train = config.active.train.model_copy(update={"confessions_per_answer": 3, "shared_prefix": shared})
    experiment = config.active.model_copy(update={"train": train})
    config = config.model_copy(update={"experiments": config.experiments | {"reproduction": experiment}})
    [job] = [job for job in Plan(config, "H200", "transformers").jobs() if job.rule == "train_policy"]
    x, xc = texts["x"], texts["default"]
    assert (job.turn1, job.turn2, job.batch) == (160 * 100, 480 * 200, 24)
    assert job.prompt == 160 * x + 480 * xc
    assert job.judged == 160 * (texts["judge"] + x + 100)
    assert job.trained == 480 * (x + 100 + xc + 200) - shared * 320 * (x + 100 + xc)


def test_probes_are_counted(texts):
    """Of stored answers turn 1 is read, not sampled; no language model judges them."""
    probes = {
        "stored": {"answers": "answers.parquet", "rollouts": 3, "variants": ["default"], "max_confession_tokens": 300},
        "asked": {"task": "countdown", "rollouts": 4, "max_task_tokens": 50, "variants": ["default", "evidence"]},
    }
    config = small()
    evaluation = config.active.evaluation.model_dump() | {"probes": probes}
    experiments = {"reproduction": config.active.model_dump() | {"evaluation": evaluation}}
    probed = Plan(load(config.model_dump() | {"experiments": experiments}), "H200", "transformers")
    before = {(job.rule, job.model): job for job in Plan(config, "H200", "transformers").jobs()}
    added = {(job.rule, job.model): job for job in probed.jobs()}
    for key, n in (("sample_policy", "qwen3-8b"), 2 * 3 + 1), (("sample_model", "qwen3-1.7b"), 1):
        was, now = before[key], added[key]
        assert now.turn1 - was.turn1 == n * 4 * 50
        assert now.turn2 - was.turn2 == n * (3 * 300 + 2 * 4 * 2000)
        stored = 3 * (texts["x"] + 1000 + texts["default"])
        task = tasks.get("countdown")
        spec = task.specs("evaluation")[0]
        requests = [length(task.request(spec, name)) for name in ("default", "evidence")]
        assert now.prompt - was.prompt == n * (stored + 4 * (length(task.prompt(spec)) + sum(requests)))
    for key in (("score_policy", ""), ("score_model", "qwen3-1.7b")):
        assert added[key] == before[key]
    assert added["tables", ""].n == before["tables", ""].n + 3  # probes, by_kind, reliability


def test_fill_scales_the_turns_alone(texts):
    job = next(job for job in Plan(small(), "H200", "transformers", 0.25).jobs() if job.rule == "train_policy")
    assert (job.turn1, job.turn2) == (160 * 25, 160 * 50)
    assert job.prompt == 160 * (texts["x"] + texts["default"])


def test_roofline_estimate(plan, monkeypatch):
    """By hand, for Qwen3-8B in bfloat16 on an H200."""
    monkeypatch.setattr(costs, "measured", lambda *_: None)
    job = next(job for job in plan.jobs() if job.rule == "train_policy")
    rates, parameters = plan.rates(job), 8_190_735_360
    cache = 8 * job.length / 2 * (2 * 36 * 8 * 128 * 2)  # 8 rows at half their length
    assert rates.decode == pytest.approx(8 * 0.5 * 4.8e12 / (2 * parameters + cache))
    assert rates.train == pytest.approx(0.4 * 989e12 / (6 * parameters))  # gradient checkpointing, no reference model
    assert rates.prompt == pytest.approx(0.4 * 989e12 / (2 * parameters))
    assert rates.basis == "estimate"
    judge = 0.4 * 989e12 / (2 * 4_022_468_096)
    seconds = (job.turn1 + job.turn2) / rates.decode + job.trained / rates.train + job.prompt / rates.prompt
    assert plan.hours(job) == pytest.approx((seconds + job.judged / judge) / 3600)


def test_a_measured_throughput_comes_first(plan, monkeypatch):
    monkeypatch.setattr(costs, "measured", lambda name, *_: (1000.0, None) if name == "Qwen/Qwen3-8B" else None)
    jobs = {job.rule: job for job in plan.jobs()}
    job = jobs["sample_policy"]
    assert plan.hours(job) == pytest.approx((job.turn1 + job.turn2) / 1000 / 3600)  # prompts are in the measured rate
    assert plan.rates(job).basis == "measured"
    assert plan.rates(jobs["train_policy"]).basis == "estimate"  # half of it


def test_training_every_weight_does_half_as_much_again(monkeypatch):
    """On the embedded model's warm-up: 4 operations a parameter and token with an adapter, 6 without; what was measured
    is scaled by that, and no longer called measured."""
    monkeypatch.setattr(costs, "measured", lambda *_: (900.0, 600.0))
    planned = []
    for lora in ({"rank": 2, "alpha": 4.0, "target_modules": "all-linear"}, None):
        data = copy.deepcopy(BASE) | {"experiment": "countdown"}
        data["models"]["nano-countdown"]["source"]["lora"] = lora
        plan = Plan(load(data), "H200")
        (job,) = (job for job in plan.jobs() if job.rule == "post_train_model")
        rates = plan.rates(job)
        planned.append((job.passes, job.full, rates.decode, rates.train, rates.basis))
    assert planned == [(4, False, 900, 600, "measured"), (6, True, 900, pytest.approx(400), "estimate")]


def test_each_job_has_the_rates_of_its_own_engine(monkeypatch):
    """Here the evaluation is vLLM's and the training's rollouts are the transformers engine's; --engine is for all."""
    rates = {"transformers": (100.0, 50.0), "vllm": (1000.0, 50.0)}
    monkeypatch.setattr(costs, "measured", lambda name, device, engine: rates[engine])
    for engine, expected in ((None, (100, 1000)), ("vllm", (1000, 1000)), ("transformers", (100, 100))):
        data = small().model_dump()
        data["experiments"]["reproduction"]["train"] |= {"engine": "transformers", "vllm": {}}
        plan = Plan(load(data), "H200", engine)
        jobs = {job.rule: job for job in plan.jobs()}
        assert (plan.rates(jobs["train_policy"]).decode, plan.rates(jobs["sample_policy"]).decode) == expected


def test_shards_are_jobs_and_engine_starts(plan):
    """Tokens and hours stay; jobs that sample, score or check the judge start the engine of a model each."""
    data = small().model_dump()
    data["experiments"]["reproduction"]["evaluation"]["shards"] = 4
    sharded = Plan(load(data), "H200", "transformers")
    one, four = ({job.rule: job for job in p.jobs()} for p in (plan, sharded))
    assert (one["sample_policy"].n, four["sample_policy"].n) == (1, 4)
    assert sharded.hours(four["sample_policy"]) == plan.hours(one["sample_policy"])
    assert [sum(job.starts for job in p.jobs()) for p in (plan, sharded)] == [5, 8]
    assert " 5 engine starts; turns at 100% of their limits" in render(plan).splitlines()[0]
    believed = Plan(load(BASE | {"experiment": "demo"}), "H200")
    assert sum(job.starts for job in believed.jobs()) == 6  # the policy and five models; no model judges


def test_disk(plan):
    disk = dict(sizes.disk(plan))
    adapter = 4 * 32 * 36 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 12288))
    assert disk["weights of qwen3-8b"] == 16_381_470_720
    assert disk["adapters, in the working folder and published: 2 x 6 adapters"] == 12 * adapter
    assert disk["two checkpoints to resume: 2 x 6 adapters"] == 12 * adapter
    sampled = [job for job in plan.jobs() if job.rule.startswith("sample")]
    assert disk["rollouts"] == 10 * sum(job.prompt + job.turn1 + job.turn2 for job in sampled)


def test_every_weight_trained_is_a_model_a_checkpoint_and_a_job_each():
    """8.19 G parameters: 2 seeds of 2 models behind step 0 in bfloat16; to go on from, three times float32 and moments.
    Memory: 16 bytes a weight shared out, 2 in each process to sample; the reference of one process takes 4."""
    data = small().model_dump()
    train = data["experiments"]["reproduction"]["train"]
    train |= {"lora": None, "processes": 4, "compile_layers": False, "engine": "transformers", "vllm": {}}
    plan, parameters = Plan(load(data), "H100"), 8_190_735_360
    disk = dict(sizes.disk(plan))
    assert disk["models of the checkpoints: 2 x 2"] == 4 * 2 * parameters
    assert disk["to resume, while training runs: 2 x 3"] == 6 * 12 * parameters
    jobs = {job.rule: job for job in plan.jobs()}
    assert (jobs["sample_policy"].n, jobs["train_policy"].passes) == (1 + 2 * 2, 8)
    assert not [line for line in sizes.too_large(plan) if "train_policy" in line]
    train["processes"] = 2
    (line,) = [line for line in sizes.too_large(Plan(load(data), "H100")) if "train_policy" in line]
    assert (
        f"takes {(16 / 2 + 2) * parameters / 1e9:.1f} GB, activations apart, on each of 2 H100 (80 GB): raise" in line
    )
    train["kl_weight"] = 0.1
    train["processes"] = 1
    (line,) = [line for line in sizes.too_large(Plan(load(data), "H100")) if "train_policy" in line]
    assert f"takes {22 * parameters / 1e9:.1f} GB" in line


def test_nothing_is_left_out_silently(tmp_path):
    """A model of unknown shape and speed: question marks, `at least`, and its name."""
    config = small(models=BASE["models"] | {
        "qwen3-1.7b": BASE["models"]["qwen3-1.7b"] | {"source": {"kind": "folder", "path": str(tmp_path)}},
        "qwen3-4b-instruct": BASE["models"]["qwen3-4b-instruct"] | {
            "source": {"kind": "hub", "repo": "a/b", "revision": "0" * 40},
        },
    })  # fmt: skip
    text = render(Plan(config, "H200", "transformers"))
    assert "not counted, no throughput known: qwen3-1.7b, qwen3-8b, the judge (src/confessions/data" in text
    assert "total: " in text
    assert text.count("at least") == 2  # hours, and disk: the judge's weights
    rows = [line.split() for line in text.splitlines()]
    assert next(row for row in rows if row[:2] == ["sample_model", "qwen3-1.7b"])[-1] == "?"


def test_what_does_not_fit_is_said():
    text = "\n".join(sizes.too_large(Plan(load(BASE | {"experiment": "reproduction"}), "H100", "transformers")))
    assert "sample_model qwen3-32b: weights 65.5 GB + cache" in text
    assert "exceed one H100 (80 GB)" in text


def test_with_vllm_a_batch_waits_and_only_one_row_has_to_fit():
    """Qwen3-32B: 64 conversations of 16,700 tokens are 280 GB of cache. vLLM decodes as many together as find room."""
    config = load(BASE | {"experiment": "scale"})
    plan = Plan(config, "H200")
    assert sizes.too_large(plan) == []
    job = next(job for job in plan.jobs() if job.rule == "sample_model" and job.model == "qwen3-32b")
    weights, a_token = 65_524_246_528, 2 * 64 * 8 * 128 * 2
    rows = int((0.9 * 141e9 - weights) // (job.length * a_token))
    assert 1 < rows < job.batch
    read = weights + rows * job.length / 2 * a_token
    assert plan.rates(job).decode == pytest.approx(rows * 0.5 * 4.8e12 / read)
    halved = config.model_copy(update={"models": config.models | {"qwen3-32b": config.models["qwen3-32b"].model_copy(
        update={"dtype": "float32"})}})  # fmt: skip
    (line,) = sizes.too_large(Plan(halved, "H200"))
    assert "weights 131.0 GB + cache 8.8 GB at batch 1 exceed one H200 (141 GB)" in line


def test_a_warm_up_is_counted_by_its_own_conversations():
    """30 steps of 8: about 600 tokens of four characters a conversation, none of them sampled."""
    config = load(BASE | {"experiment": "smollm2"})
    job = next(job for job in Plan(config, "H200").jobs() if job.rule == "post_train_model")
    assert (job.model, job.turn1, job.prompt) == ("smollm2-warm", 0, 0)
    assert 240 * 500 < job.trained < 240 * 800
    assert job.length < 1200


def test_a_seeded_model_is_counted_by_the_answers_that_it_is_shown():
    """480 answers of about 40 tokens of four characters, behind a problem of about 80."""
    config = load(BASE | {"experiment": "programming"})
    seeded = next(key for key in config.seeded if "-h0.5-e1-" in key)
    experiments = {"programming": config.active.model_copy(update={"policy": seeded})}
    job = next(
        job
        for job in Plan(config.model_copy(update={"experiments": experiments}), "H200").jobs()
        if job.rule == "post_train_model"
    )
    assert (job.model, job.turn1) == (seeded, 0)
    assert 480 * 100 < job.trained < 480 * 150


@pytest.mark.parametrize("made", [True, False])
def test_problems_that_the_workflow_has_yet_to_make_are_counted_as_the_tasks_own(tmp_path, monkeypatch, made):
    """Only what it makes: any other file that is missing is an error."""
    monkeypatch.chdir(tmp_path)
    file = calibration_file("qwen2.5-coder-1.5b" if made else "nobody")
    data = copy.deepcopy(BASE) | {"experiment": "instructions"}
    experiment = data["experiments"]["instructions"]
    plain = {"problems": file, "evaluation": experiment["evaluation"] | {"probes": {}}}
    data["experiments"] = {"instructions": experiment | plain}
    if made:
        config = load(data)
        job = next(job for job in Plan(config, "H200").jobs() if job.rule == "calibrate")
        parts = {part: calibration.asked(part, 70) for part in PARTS}
        kept = 2 * (1600 + 600 + 600 + 600)  # of training in both splits
        assert job.turn1 == 256 * (sum(map(len, parts.values())) + kept)
        xs = {p: [length(tasks.get(calibration.task_name(p)).prompt(s)) for s in given] for p, given in parts.items()}
        longest = {part: max(given) for part, given in xs.items()}
        asked = sum(map(sum, xs.values())) + 2 * 1600 * longest["training"] + 2 * 600 * sum(longest.values())
        assert (job.prompt, job.length, job.starts) == (asked, 256 + max(longest.values()), 1)
        assert "\ntotal: " in render(Plan(config, "H200"))
    else:
        with pytest.raises(InputError, match=r"nobody.*confessions calibrate makes"):
            render(Plan(load(data), "H200"))


def test_the_table_in_the_docs_is_what_the_plan_says():
    written = [line for line in (ROOT / "docs" / "costs.md").read_text().splitlines() if line.startswith("| ")]
    assert table(load(BASE), "H200").splitlines() == written[: 2 + len(BASE["experiments"])]


def test_unknown_device_and_experiment():
    with pytest.raises(InputError, match="--device TPU: unknown; known: H200, H100, A100"):
        Plan(small(), "TPU", "transformers")
    result = CliRunner().invoke(app, ["plan", "--config", str(ROOT / "config.yaml"), "--experiment", "reproducton"])
    assert result.exit_code == 1
    assert "unknown experiment; nearest known: 'reproduction'" in result.stderr


@pytest.mark.parametrize("experiment", BASE["experiments"])
def test_every_checked_in_experiment(experiment):
    result = CliRunner().invoke(app, ["plan", "--config", str(ROOT / "config.yaml"), "--experiment", experiment])
    assert result.exit_code == 0, result.output
    assert f"experiment {experiment}: " in result.stdout
    assert ("CPU hours are of cores that no other job wants" in result.stdout) == (" CPU hours (2" in result.stdout)
    config = load(BASE | {"experiment": experiment})
    for key in {job.model for job in Plan(config, "H200").jobs()} - {""}:
        assert Plan(config, "H200", "transformers").shape(key) is not None


def test_the_plan_needs_no_heavy_library():
    code = (
        "import sys; import confessions.pipeline.plan.text; print([m for m in ('torch', 'pandas') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


NAMES = {"Olmo-3-7B": "allenai/Olmo-3-7B-Think"}


@pytest.mark.parametrize("name", FULL)
def test_shapes_are_the_architectures(name):
    kind, config, n_parameters, _ = FULL[name]
    shape = costs.shapes()[NAMES.get(name, f"Qwen/{name}")]
    with torch.device("meta"):
        model = model_of(kind, **config)
    experts = sum(p.numel() for key, p in model.named_parameters() if ".experts." in key)
    used = config.get("num_experts_per_tok", 0) / config.get("num_experts", 1)
    assert shape.parameters == n_parameters == model.num_parameters()
    assert shape.active == n_parameters - experts + round(experts * used)
    assert (shape.hidden, shape.layers, shape.heads) == tuple(
        config[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads")
    )
    assert (shape.kv_heads, shape.head_dim) == (config["num_key_value_heads"], config.get("head_dim", 128))
    assert shape.feed_forward == config["intermediate_size"]


@pytest.mark.parametrize("size", ["xs", "s", "m"])
def test_shapes_are_the_embedded_models(size):
    shape, folder = costs.shapes()[f"nano:{size}"], Path(nano.__file__).parent / "weights" / size
    model = loading.load_model(folder, "float32")
    config = model.config
    assert shape.parameters == shape.active == model.num_parameters()
    assert (shape.hidden, shape.feed_forward, shape.layers) == (
        config.hidden_size, config.intermediate_size, config.num_hidden_layers,
    )  # fmt: skip
    assert (shape.heads, shape.kv_heads, shape.head_dim) == (
        config.num_attention_heads, config.num_key_value_heads, config.head_dim,
    )  # fmt: skip
