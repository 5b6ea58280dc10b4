"""Our laboratory's additions to Crossloom."""
