"""What makes training fast and nothing else."""
