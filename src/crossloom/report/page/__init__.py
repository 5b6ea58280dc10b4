"""The HTML report: sections, pictures and template."""
