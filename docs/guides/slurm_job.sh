#!/bin/bash
#SBATCH --job-name=kerasae-train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
# One training on two nodes: sbatch slurm_job.sh. With GPUs, ask for them here (--gpus-per-node),
# and for as many tasks: JAX gives each task one GPU.
# srun starts the command for each task, and JAX finds out which it is; a requeued job resumes.
# The folder of the run must be on a disk that all nodes share.
set -euo pipefail

export KERAS_BACKEND=jax
srun --kill-on-bad-exit=1 \
    kerasae train variational --data table.parquet --out runs/table --machines auto --resume
