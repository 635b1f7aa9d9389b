"""BRIGHT (bi-level feature representation of image collections using groups of hash tables), reproduced."""

import os

# numpy's and scipy's linear algebra on one thread: on many it is slower here, and sums depend on how many.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
