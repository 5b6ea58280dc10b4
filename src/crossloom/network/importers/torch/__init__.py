"""The importer of torch modules, exported programs and `.pt2` files."""
