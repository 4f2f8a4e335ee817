"""What a person looks at: network summaries, plots, the page of a run."""
