# Where a model's weights come from, as a folder that the later stages load.
rule build_model:
    output:
        folder=directory(specs.model_folder("{model}")),
    log:
        "results/models/logs/{model}.log",
    threads: 1
    resources:
        mem_mb=3_000,
        runtime=120,
    params:
        spec=lambda wildcards: json.dumps(specs.model_spec(CONFIG, wildcards.model)),
    shell:
        "python -m confessions build-model --spec {params.spec:q} --out {output.folder:q} 2>&1 | tee {log:q}"


# The embedded model from its recipe, beside the shipped one (`make rebuild-nano` replaces the shipped one).
rule rebuild_nano:
    output:
        folder=directory("results/models/nano-rebuilt"),
    log:
        "results/models/logs/nano-rebuilt.log",
    threads: 2
    resources:
        mem_mb=3_000,
        runtime=120,
    shell:
        "python -m confessions.nano.recipe --out {output.folder:q} 2>&1 | tee {log:q}"
