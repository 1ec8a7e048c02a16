"""Ways to spend dockings: plain sampling, the best of it, steering by Vina alone and with QED, SA.

    python -m benchmarks.docking --seeds 1 2 3 --queries 640 --out runs/docking
    python -m benchmarks.docking --receptor a.pdb b.pdb --ligand a.sdf b.sdf --out runs/docking

`study` says what is compared and writes JSON lines, `tables` and `figures` show what came out.
"""
