#!/bin/bash -l
#PBS -N ndvi-x7k2
#PBS -q main@desched1
#PBS -A abc123
#PBS -l select=2:ncpus=128:mem=240640mb
#PBS -l place=scatter
#PBS -l walltime=02:00:00
#PBS -j oe
#PBS -o /home/alice/.local/state/pangeo-hpc/runs/derecho/ndvi/attempts/0001/output.log
#PBS -r n
export TMPDIR="${SCRATCH:-/glade/derecho/scratch/$USER}/tmp" && mkdir -p "$TMPDIR"
