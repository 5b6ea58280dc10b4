"""Pictures, drawn with matplotlib and reduced to compact SVG."""
