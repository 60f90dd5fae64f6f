#!/bin/bash
#SBATCH --job-name=kerasae-train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
# One training on two nodes: sbatch slurm_job.sh. With GPUs, ask for them here (--gpus-per-node).
# srun starts the command once on each node and tells it who it is; a requeued job resumes.
set -euo pipefail

export KERAS_BACKEND=jax
srun --kill-on-bad-exit=1 \
    kerasae train variational --data table.parquet --out runs/table --machines auto --resume
