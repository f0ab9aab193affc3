# Both turns of every evaluation rollout, one engine start a base model. Finished blocks of cells stay in a working folder
# that is no output, so that a job that was cut off goes on behind them.
rule sample_policy:
    input:
        model=POLICY,
        weights=expand(f"{ADAPTER}/adapter_model.safetensors", seed=SEEDS, step=STEPS),
        configs=expand(f"{ADAPTER}/adapter_config.json", seed=SEEDS, step=STEPS),
    output:
        rollouts=expand(ROLLOUTS, seed=SEEDS, step=STEPS),
        survey=SURVEY if EXPERIMENT.survey else [],
        model=expand(MODEL_ROLLOUTS, model=OWN),
    log:
        f"{RESULTS}/logs/rollouts.log",
    conda:
        sampling_environment(*POLICIES)
    threads: 2
    resources:
        **sampling_resources(*POLICIES),
        runtime=lambda wildcards, attempt: attempt * 720,
    params:
        spec=lambda wildcards: json.dumps(specs.rollout_spec(CONFIG, EXPERIMENT.policy)),
        work=f"{RESULTS}/work/rollouts",
    shell:
        "python -m confessions rollout --spec {params.spec:q} --model {input.model:q} --work {params.work:q}"
        " 2>&1 | tee {log:q}"


# The models of the scale axis and of the ladder.
rule sample_model:
    input:
        model=specs.model_folder("{model}"),
    output:
        rollouts=MODEL_ROLLOUTS,
    log:
        f"{RESULTS}/logs/rollouts_{{model}}.log",
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
        spec=lambda wildcards: json.dumps(specs.rollout_spec(CONFIG, wildcards.model)),
        work=f"{RESULTS}/work/rollouts",
    shell:
        "python -m confessions rollout --spec {params.spec:q} --model {input.model:q} --work {params.work:q}"
        " 2>&1 | tee {log:q}"
