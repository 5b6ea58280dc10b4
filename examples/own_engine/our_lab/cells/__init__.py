"""Our cells: one .yaml file each."""
