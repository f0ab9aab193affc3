# Both turns of the evaluation, one file a checkpoint: the same topics and sampling seeds in each.
rule sample_rollouts:
    input:
        model=POLICY,
        weights=f"{ADAPTER}/adapter_model.safetensors",
        config=f"{ADAPTER}/adapter_config.json",
    output:
        rollouts=ROLLOUTS,
    log:
        f"{RUN}/logs/rollouts_step_{{step}}.log",
    threads: 1
    resources:
        **resources_for(CONFIG.active.policy),
        runtime=120,
    params:
        spec=json.dumps(specs.rollout_spec(CONFIG)),
        adapter=subpath(input.weights, parent=True),
    shell:
        "python -m confessions rollout --spec {params.spec:q} --model {input.model:q}"
        " --adapter {params.adapter:q} --step {wildcards.step} --out {output.rollouts:q} 2>&1 | tee {log:q}"
