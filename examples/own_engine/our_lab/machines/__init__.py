"""Our machines: one .yaml file each."""
