"""What an iteration of the engine costs, beside the linear algebra it cannot do without and peers.

    python -m benchmarks.engine_cost                    # all sizes of the engine, minutes
    python -m benchmarks.engine_cost --peers --out runs/engine-cost.json    # and every peer

`cases` are the sizes, `limits` is the bare linear algebra, `measurement` times and weighs one case
in a process of its own, `report` makes the tables and the figure.
"""
