# Rollouts and scores as Inspect logs, where Inspect is installed: `inspect view --log-dir results/logs`.
LOGGED = specs.logs_spec(CONFIG)
LOGS = (
    [file for subject in SCORED for file in subject.log_files]
    + [f"{paths.log_folder(CONFIG)}/{name}" for run in LOGGED.training for name in run.logs]
    if find_spec("inspect_ai")
    else []
)


rule write_logs:
    input:
        rollouts=[logged.rollouts for logged in LOGGED.checkpoints],
        scores=[logged.scores for logged in LOGGED.checkpoints],
        training=[run.rollouts for run in LOGGED.training],
    output:
        logs=LOGS,
    log:
        f"{RESULTS}/logs/inspect.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_logs.tsv"
    localrule: True
    conda:
        PLOTS
    threads: 1
    params:
        spec=LOGGED.as_json(),
        out=lambda wildcards, output: os.path.dirname(output.logs[0]),
    shell:
        "python -m confessions write-logs --spec {params.spec:q} --out {params.out:q} 2>&1 | tee {log:q}"
