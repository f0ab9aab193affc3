# results/tables, results/figures and results/logs are the view of the chosen experiment: links into its own folder, laid
# again whenever another is chosen. What they show is never touched. `inspect view` follows a link to a folder, not to a
# log, so that the logs are one link.
MADE = {"tables": [f"{name}.csv" for name in TABLES], "figures": [f"{name}.png" for name in FIGURES]}
SWEPT = {"tables": [f"{name}.csv" for name in SWEPT_TABLES], "figures": [f"{name}.png" for name in SWEPT_FIGURES]}
VIEW = [f"results/{folder}/{file}" for folder, files in MADE.items() for file in files]
SWEPT_VIEW = [f"results/{folder}/{file}" for folder, files in SWEPT.items() for file in files]
if old := folders.of_old_layout("results"):
    sys.exit(
        f"error: {old}: no link into the folder of its experiment, as of an earlier version or of a copy that followed"
        " links: move results/tables, results/figures and results/logs elsewhere; snakemake makes them again from scores"
    )


rule view_result:
    input:
        f"{RESULTS}/{{folder}}/{{file}}",
    output:
        "results/{folder}/{file}",
    log:
        f"{RESULTS}/{{folder}}/logs/view_{{file}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/view_{{folder}}_{{file}}.tsv"
    wildcard_constraints:
        folder="tables|figures",
        file=one_of(path.rpartition("/")[2] for path in VIEW + SWEPT_VIEW),
    localrule: True
    conda:
        PLOTS
    threads: 1
    params:
        experiment=CONFIG.experiment,
    shell:
        # First away with the links to another experiment: it may have tables that this one lacks.
        "(for link in results/{wildcards.folder}/*; do case $(readlink $link) in '' | ../{params.experiment:q}/*) ;;"
        " *) rm -f $link ;; esac; done;"
        " ln -sf ../{params.experiment:q}/{wildcards.folder}/{wildcards.file:q} {output:q}) > {log:q} 2>&1"


# Tables as pages, which the report shows in place. A table's own rule makes none: a page needs no scores.
PAGES, SWEPT_PAGES = ([f"{RESULTS}/tables/pages/{name}.html" for name in names] for names in (TABLES, SWEPT_TABLES))

for behind, tables, pages in (("", TABLES, PAGES), ("_of_sweep", SWEPT_TABLES, SWEPT_PAGES)):

    rule:
        name:
            f"view_tables{behind}"
        input:
            [f"{RESULTS}/tables/{name}.csv" for name in tables],
        output:
            [page(file, "table", name, "Tables") for file, name in zip(pages, tables, strict=True)],
        log:
            f"{RESULTS}/tables/logs/pages{behind}.log",
        benchmark:
            f"{RESULTS}/benchmarks/view_tables{behind}.tsv"
        localrule: True
        conda:
            PLOTS
        threads: 1
        params:
            tables=[*tables],
        script:
            "../scripts/view_tables.py"


rule view_logs:
    input:
        LOGS,
    output:
        directory("results/logs"),
    log:
        f"{RESULTS}/logs/view.log",
    benchmark:
        f"{RESULTS}/benchmarks/view_logs.tsv"
    localrule: True
    conda:
        PLOTS
    threads: 1
    params:
        experiment=CONFIG.experiment,
    shell:
        "ln -s {params.experiment:q}/logs {output:q} > {log:q} 2>&1"
