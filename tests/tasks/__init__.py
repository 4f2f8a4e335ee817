"""Tests of nas/tasks."""
