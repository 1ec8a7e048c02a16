"""How much a search wins in very many coordinates, and how far its noise drifts for it.

    python -m benchmarks.large_dimension                          # about a minute: K = 10, D = 2,048
    python -m benchmarks.large_dimension --steps 50 --dim 16384   # Stable Diffusion's size

`scores` are what is maximised, `searchers` who does it, `curves` spends the queries, `report` makes
the tables and the figure.
"""
