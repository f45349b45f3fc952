"""The paper's evaluation: one command per table and figure.

python -m benchmarks.paper table6 --data DATA --seeds 5

trains what is missing of the runs that the table needs (a run is kept in --runs and shared by all tables; a killed
command goes on where it was), measures them, and writes benchmarks/results/table6.json. `report` makes
docs/results.md of all results there are. DATA is a folder with the data sets as subfolders: mnist, fashion_mnist,
cifar10, plantvillage, dbpedia_classes, dbpedia_l1l2.
"""
