# Both turns of every evaluation rollout, one engine start a base model, or for each shard of the policy's files. Finished
# blocks of cells stay in a working folder that is no output, so that a job that was cut off resumes after them. Whatever
# shard a file is of, its job has the same command and inputs: another number of shards makes nothing again. A checkpoint
# of which every weight was trained is a model, and its job is like any other model's.
SHARDS = subjects.policy_shards(CONFIG)

for number, files in enumerate(SHARDS, 1):
    behind = f"_{number}" if len(SHARDS) > 1 else ""

    rule:
        name:
            f"sample_policy{behind}"
        input:
            model=subjects.sampled_model(CONFIG, files[0]),
            adapters=expand(ADAPTER, seed=SEEDS, step=STEPS) if ADAPTERS else [],
            files=READ,
        output:
            files,
        log:
            f"{RESULTS}/logs/rollouts{behind}.log",
        benchmark:
            f"{RESULTS}/benchmarks/rollouts{behind}.tsv"
        conda:
            sampling_environment(*POLICIES)
        threads: 2
        resources:
            **sampling_resources(*POLICIES),
            runtime=lambda wildcards, attempt: attempt * 720,
        params:
            spec=lambda wildcards: specs.rollout_spec(CONFIG, EXPERIMENT.policy).as_json(),
            work=paths.rollout_work(CONFIG),
        shell:
            "python -m confessions rollout --spec {params.spec:q} --model {input.model:q} --work {params.work:q}"
            " {output:q} 2>&1 | tee {log:q}"


# The models of the scale axis and of the ladder.
rule sample_model:
    input:
        model=paths.model_folder("{model}"),
        files=READ,
    output:
        rollouts=MODEL_ROLLOUTS,
    log:
        f"{RESULTS}/logs/rollouts_{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/rollouts_{{model}}.tsv"
    wildcard_constraints:
        model=one_of(OTHERS),
    conda:
        lambda wildcards: sampling_environment(wildcards.model)
    threads: 1
    resources:
        mem_mb=lambda wildcards: sampling_resources(wildcards.model)["mem_mb"],
        gpu=lambda wildcards: sampling_resources(wildcards.model)["gpu"],
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        spec=lambda wildcards: specs.rollout_spec(CONFIG, wildcards.model).as_json(),
        work=paths.rollout_work(CONFIG),
    shell:
        "python -m confessions rollout --spec {params.spec:q} --model {input.model:q} --work {params.work:q}"
        " 2>&1 | tee {log:q}"
