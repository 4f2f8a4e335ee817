"""Networks and fronts side by side on many devices: tables, plots and a page."""
