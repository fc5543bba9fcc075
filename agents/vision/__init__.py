"""Models, one file each, and how Triton is asked."""
