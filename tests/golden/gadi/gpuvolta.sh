#!/bin/bash -l
#PBS -N ndvi-x7k2
#PBS -q gpuvolta
#PBS -P abc123
#PBS -l ncpus=12,mem=92160mb,ngpus=1
#PBS -l walltime=02:00:00
#PBS -j oe
#PBS -o /home/alice/.local/state/pangeo-hpc/runs/gadi/ndvi/attempts/0001/output.log
#PBS -r n
#PBS -l wd
#PBS -l jobfs=51200MB
#PBS -l storage=scratch/abc123
