# Dual-span GRPO. The working folder is no output: Snakemake deletes the outputs of a failed job, and a run that was cut
# off goes on from there. Finished checkpoints are published from it.
rule train_policy:
    input:
        model=POLICY,
        judge=JUDGES,
        problems=PROBLEMS,
        answers=[*dict.fromkeys(EXPERIMENT.trained_on.values())],
    output:
        checkpoints=CHECKPOINTS,
        rollouts=directory(TRAINING_ROLLOUTS),
        metrics=METRICS,
        config=f"{RUN}/train/config.json",
    log:
        f"{RUN}/logs/train.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_seed{{seed}}.tsv"
    conda:
        VLLM if TRAINS and EXPERIMENT.train.engine == "vllm" else TRAIN
    threads: 2 * PROCESSES
    resources:
        **training_resources(),
        runtime=lambda wildcards, attempt: attempt * 720,
    params:
        spec=lambda wildcards: specs.train_spec(CONFIG, int(wildcards.seed)).as_json(),
        out=subpath(output.metrics, parent=True),
        work=f"{RUN}/work",
    shell:
        "python -m confessions train --spec {params.spec:q} --model {input.model:q}"
        " --work {params.work:q} --out {params.out:q} 2>&1 | tee {log:q}"
