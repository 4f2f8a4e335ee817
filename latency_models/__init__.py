"""Latency models (`roofline`), and the devices they are filled in for (`target`, one data file each in `targets/`)."""
