"""Plain, slow definitions of what crossbars compute; the fast plans are tested against them."""
