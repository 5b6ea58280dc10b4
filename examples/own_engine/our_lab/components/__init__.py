"""Our components: one .yaml file each."""
