# SFT seeding of a hack: a model for every combination of the sweep, its rollouts with, without and with a paraphrase of the
# reasoning in turn 2's context, one table, one figure. No part of `all`:  snakemake seeding --config experiment=programming
SEEDED = CONFIG.seeded
SEEDED_ROLLOUTS = [paths.seeded_rollout_file(CONFIG, "{model}", view) for view in VIEWS]
SEEDED_SCORES = [paths.seeded_score_file(CONFIG, "{model}", view) for view in VIEWS]


use rule sample_model as sample_seeded with:
    output:
        rollouts=SEEDED_ROLLOUTS,
    log:
        f"{RESULTS}/logs/rollouts_{{model}}_seeded.log",
    benchmark:
        f"{RESULTS}/benchmarks/rollouts_{{model}}_seeded.tsv"
    wildcard_constraints:
        model=one_of(SEEDED),


rule score_seeded:
    input:
        rollouts=SEEDED_ROLLOUTS,
        judge=JUDGES,
    output:
        scores=SEEDED_SCORES,
    log:
        f"{RESULTS}/logs/scores_{{model}}_seeded.log",
    benchmark:
        f"{RESULTS}/benchmarks/scores_{{model}}_seeded.tsv"
    wildcard_constraints:
        model=one_of(SEEDED),
    conda:
        sampling_environment(*CONFIG.judges)
    threads: 1
    resources:
        **sampling_resources(*CONFIG.judges),
        runtime=60,
    params:
        spec=specs.score_spec(CONFIG).as_json(),
        files=lambda wildcards, input, output: paired(input.rollouts, output.scores),
    shell:
        "python -m confessions score-rollouts --spec {params.spec:q} {params.files} 2>&1 | tee {log:q}"
