"""Comparison of networks and fronts on several targets: tables, plots and an HTML page."""
