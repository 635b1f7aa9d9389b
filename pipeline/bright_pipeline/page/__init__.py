"""The page of a run: one HTML file that explains a finished run and needs nothing else."""
