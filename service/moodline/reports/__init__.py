"""Pages for people: one HTML file each, with figures and tables, that needs no network."""
