"""Exporters: each writes an architecture, with weights or without, in one file format or folder."""
