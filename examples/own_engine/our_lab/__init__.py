"""What our laboratory adds to Crossloom."""
