"""The paper's evaluation: one command per table and figure.

python -m benchmarks.paper table6 --data DATA --seeds 5

trains the runs of the table that are missing (runs are kept in --runs and shared by all tables; an interrupted command
resumes where it stopped), evaluates them, and writes benchmarks/results/table6.json. `report` writes docs/results.md
from all results. DATA is a folder with the data sets as subfolders: mnist, fashion_mnist, cifar10, plantvillage,
dbpedia_classes, dbpedia_l1l2.

A new table is a function in a module of benchmarks/paper/tables:

    @table("table7", dataset="mnist", variants=["nested", "traditional"])
    def compare_paths(runs: Runs) -> Result:
        paths = {v: [e["calibrated"]["clean"]["path/accuracy"] for e in runs.evaluations(v)] for v in runs.variants}
        rows = [Row(variant, [Cell(percent(accuracies))]) for variant, accuracies in paths.items()]
        return Result(title="Table 7: MNIST, whole paths", columns=["Original"], rows=rows)
"""
