"""What an experiment will take, before anything runs. Nothing here imports torch."""
