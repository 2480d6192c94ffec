#!/bin/bash -l
#PBS -N ndvi-x7k2
#PBS -q casper@casper-pbs
#PBS -A abc123
#PBS -l select=1:ncpus=31:mem=757760mb:cpu_type=genoa
#PBS -l walltime=04:00:00
#PBS -j oe
#PBS -o /home/alice/.local/state/pangeo-hpc/runs/casper/ndvi/attempts/0001/output.log
#PBS -r n
export TMPDIR="${SCRATCH:-/glade/derecho/scratch/$USER}/tmp" && mkdir -p "$TMPDIR"
