"""Optimisers compared on sequential problems whose minimum is known: casbo's rules and their peers.

    python -m benchmarks.optimizers run --suite core --methods pycma default --out runs.jsonl
    python -m benchmarks.optimizers tables runs.jsonl

`evaluation` scores a population, `peer` says what an optimiser is here, `methods` names them,
`runs` spends the queries and writes JSON lines, `curves` reads them, `factors` compares them,
`tables` and `figure` show what came out.
"""
