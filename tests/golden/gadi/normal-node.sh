#!/bin/bash -l
#PBS -N ndvi-x7k2
#PBS -q normal
#PBS -P abc123
#PBS -l ncpus=96,mem=389120mb
#PBS -l walltime=02:00:00
#PBS -j oe
#PBS -o /home/alice/.local/state/pangeo-hpc/runs/gadi/ndvi/attempts/0001/output.log
#PBS -r n
#PBS -l wd
#PBS -l jobfs=409600MB
#PBS -l storage=scratch/abc123
