"""The HTML report: its sections, its pictures, its template."""
