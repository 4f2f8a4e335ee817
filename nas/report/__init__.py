"""Reports: costs of a network per kernel and block, plots of a network, and the HTML page of a run."""
