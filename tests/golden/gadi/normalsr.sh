#!/bin/bash -l
#PBS -N ndvi-x7k2
#PBS -q normalsr
#PBS -P abc123
#PBS -l ncpus=208,mem=1024000mb
#PBS -l walltime=02:00:00
#PBS -j oe
#PBS -o /home/alice/.local/state/pangeo-hpc/runs/gadi/ndvi/attempts/0001/output.log
#PBS -r n
#PBS -l wd
#PBS -l jobfs=102400MB
#PBS -l storage=scratch/abc123
