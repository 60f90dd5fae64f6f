"""What ships of each lesson: `lesson_NN.toml`, its profiles, and `lesson_NN.py`, its exercises."""
