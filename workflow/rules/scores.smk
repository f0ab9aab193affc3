# Ground truth and the judge's verdict on each rollout; one judge for all files of a job.
rule score_policy:
    input:
        rollouts=expand(ROLLOUTS, seed=SEEDS, step=STEPS) + expand(MODEL_ROLLOUTS, model=OWN),
        judge=JUDGES,
    output:
        scores=expand(SCORES, seed=SEEDS, step=STEPS) + expand(MODEL_SCORES, model=OWN),
    log:
        f"{RESULTS}/logs/scores.log",
    conda:
        sampling_environment(*CONFIG.judges)
    threads: 1
    resources:
        **sampling_resources(*CONFIG.judges),
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        spec=json.dumps(specs.score_spec(CONFIG)),
        files=lambda wildcards, input, output: paired(input.rollouts, output.scores),
    shell:
        "python -m confessions score-rollouts --spec {params.spec:q} {params.files} 2>&1 | tee {log:q}"


rule score_model:
    input:
        rollouts=MODEL_ROLLOUTS,
        judge=JUDGES,
    output:
        scores=MODEL_SCORES,
    log:
        f"{RESULTS}/logs/scores_{{model}}.log",
    wildcard_constraints:
        model=one_of(OTHERS),
    conda:
        sampling_environment(*CONFIG.judges)
    threads: 1
    resources:
        **sampling_resources(*CONFIG.judges),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        spec=json.dumps(specs.score_spec(CONFIG)),
    shell:
        "python -m confessions score-rollouts --spec {params.spec:q} --rollouts {input.rollouts:q} --out {output.scores:q}"
        " 2>&1 | tee {log:q}"


# How good the judge is: a language model's verdicts on a fixed set of answers made by code.
rule check_judge:
    input:
        judge=JUDGES,
    output:
        answers=specs.judge_check_file(CONFIG),
    log:
        f"{RESULTS}/logs/judge_check.log",
    conda:
        sampling_environment(*CONFIG.judges)
    threads: 1
    resources:
        **sampling_resources(*CONFIG.judges),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        spec=json.dumps(specs.score_spec(CONFIG)),
    shell:
        "python -m confessions judge-check --spec {params.spec:q} --out {output.answers:q} 2>&1 | tee {log:q}"
