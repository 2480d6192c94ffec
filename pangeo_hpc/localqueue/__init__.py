"""A small queue for one user on one machine: the program behind `scheduler: local`.

`python -m pangeo_hpc.localqueue submit|status|cancel|nodes|estimate` has the shape of sbatch and
its kin. Each job has a supervisor process of its own; one daemon for the queue starts them and
leaves when there is nothing to do. All that is known stands on disk, so every process of the queue
may be killed at any moment and the next command goes on from there.
"""
