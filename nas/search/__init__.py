"""Search algorithms: pure functions of explicit state over genotypes, one file each."""
