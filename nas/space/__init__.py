"""Search spaces: decisions and genotypes, staged spaces, scaling of networks, cost tables."""
