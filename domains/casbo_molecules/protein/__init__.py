"""What a structure file holds and a receptor should not: one file for each kind of trouble.

Every function changes a gemmi model in place and returns the lines that say what it did.
"""
