"""What rules cost."""
