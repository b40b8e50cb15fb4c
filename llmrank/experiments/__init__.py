"""What an experiment is: its settings, its pipeline, arenas, and what is kept of it."""
