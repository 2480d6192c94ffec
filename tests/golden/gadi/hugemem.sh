#!/bin/bash -l
#PBS -N ndvi-x7k2
#PBS -q hugemem
#PBS -P abc123
#PBS -l ncpus=12,mem=368640mb
#PBS -l walltime=04:00:00
#PBS -j oe
#PBS -o /home/alice/.local/state/pangeo-hpc/runs/gadi/ndvi/attempts/0001/output.log
#PBS -r n
#PBS -l wd
#PBS -l jobfs=20480MB
#PBS -l storage=scratch/abc123
