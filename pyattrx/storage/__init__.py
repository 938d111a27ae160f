"""What is on disk: a zoo's catalog, its rows and sketches, and how they get there and back."""
