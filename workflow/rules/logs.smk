# Rollouts and scores as Inspect logs, where Inspect is installed: `inspect view --log-dir results/logs`.
LOGGED = [
    {
        "rollouts": ROLLOUTS.format(seed=seed, step=step),
        "scores": SCORES.format(seed=seed, step=step),
        "prefix": f"{CONFIG.experiment}-seed{seed}-step{step}",
        "labels": RUN_LABELS | {"seed": seed},
    }
    for seed, step in product(SEEDS, STEPS)
] + [
    {
        "rollouts": MODEL_ROLLOUTS.format(model=model),
        "scores": MODEL_SCORES.format(model=model),
        "prefix": f"{CONFIG.experiment}-{model}",
        "labels": RUN_LABELS | {"model": CONFIG.models[model].label, "source": CONFIG.origin(model).source.kind},
    }
    for model in CONFIG.compared
]
# What the policy was trained on, a log for so many steps.
LOGGED_RUNS = [
    {
        "rollouts": TRAINING_ROLLOUTS.format(seed=seed),
        "logs": specs.training_logs(CONFIG, seed),
        "labels": RUN_LABELS | {"seed": seed},
    }
    for seed in SEEDS
]
LOGS = (
    [
        name
        for number, logged in enumerate(LOGGED)
        for name in log_names(
            logged["prefix"],
            EXPERIMENT.evaluation.conditions[: None if number < len(SEEDS) * len(STEPS) else 1],
        )
    ]
    + [f"{LOG_FOLDER}/{name}" for run in LOGGED_RUNS for name in run["logs"]]
    if find_spec("inspect_ai")
    else []
)


rule write_logs:
    input:
        rollouts=[logged["rollouts"] for logged in LOGGED],
        scores=[logged["scores"] for logged in LOGGED],
        training=[run["rollouts"] for run in LOGGED_RUNS],
    output:
        logs=LOGS,
    log:
        f"{RESULTS}/logs/inspect.log",
    localrule: True
    conda:
        PLOTS
    threads: 1
    params:
        spec=json.dumps({"checkpoints": LOGGED, "training": LOGGED_RUNS}),
        out=lambda wildcards, output: os.path.dirname(output.logs[0]),
    shell:
        "python -m confessions write-logs --spec {params.spec:q} --out {params.out:q} 2>&1 | tee {log:q}"
