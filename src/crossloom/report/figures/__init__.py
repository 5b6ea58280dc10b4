"""Pictures, drawn with matplotlib and slimmed as SVG."""
