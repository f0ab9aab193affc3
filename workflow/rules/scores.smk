# Ground truth and the judge's verdict on each rollout; one judge for all files of a job.
OF_POLICY = [subject for subject in SCORED if subject.base in POLICIES]


rule score_policy:
    input:
        rollouts=[subject.rollouts for subject in OF_POLICY],
        model=POLICY,
        judge=JUDGES,
    output:
        scores=[subject.scores for subject in OF_POLICY],
    log:
        f"{RESULTS}/logs/scores.log",
    benchmark:
        f"{RESULTS}/benchmarks/scores.tsv"
    conda:
        sampling_environment(*CONFIG.judges)
    threads: 1
    resources:
        **sampling_resources(*CONFIG.judges),
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        spec=specs.score_spec(CONFIG, EXPERIMENT.policy).as_json(),
        files=lambda wildcards, input, output: paired(input.rollouts, output.scores),
    shell:
        "python -m confessions score-rollouts --spec {params.spec:q} --model {input.model:q} {params.files}"
        " 2>&1 | tee {log:q}"


rule score_model:
    input:
        rollouts=MODEL_ROLLOUTS,
        model=paths.model_folder("{model}"),
        judge=JUDGES,
    output:
        scores=MODEL_SCORES,
    log:
        f"{RESULTS}/logs/scores_{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/scores_{{model}}.tsv"
    wildcard_constraints:
        model=one_of(OTHERS),
    conda:
        sampling_environment(*CONFIG.judges)
    threads: 1
    resources:
        **sampling_resources(*CONFIG.judges),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        spec=lambda wildcards: specs.score_spec(CONFIG, wildcards.model).as_json(),
        files=lambda wildcards, input, output: paired(input.rollouts, output.scores),
    shell:
        "python -m confessions score-rollouts --spec {params.spec:q} --model {input.model:q} {params.files}"
        " 2>&1 | tee {log:q}"


# How good the judge is: a language model's verdicts on a fixed set of answers made by code.
rule check_judge:
    input:
        judge=JUDGES,
    output:
        answers=paths.judge_check_file(CONFIG),
    log:
        f"{RESULTS}/logs/judge_check.log",
    benchmark:
        f"{RESULTS}/benchmarks/judge_check.tsv"
    conda:
        sampling_environment(*CONFIG.judges)
    threads: 1
    resources:
        **sampling_resources(*CONFIG.judges),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        spec=specs.score_spec(CONFIG).as_json(),
    shell:
        "python -m confessions judge-check --spec {params.spec:q} --out {output.answers:q} 2>&1 | tee {log:q}"
