# Ground truth and the judge's verdict on each rollout.
rule score_rollouts:
    input:
        rollouts=ROLLOUTS,
        judge=JUDGES,
    output:
        scores=SCORES,
    log:
        f"{RUN}/logs/scores_step_{{step}}.log",
    threads: 1
    resources:
        **resources_for(*CONFIG.judges),
        runtime=60,
    params:
        spec=json.dumps(specs.score_spec(CONFIG)),
    shell:
        "python -m confessions score-rollouts --spec {params.spec:q} --rollouts {input.rollouts:q}"
        " --out {output.scores:q} 2>&1 | tee {log:q}"
