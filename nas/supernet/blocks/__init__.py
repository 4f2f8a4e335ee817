"""Searchable blocks with shared weights, one file per block family; `nas.ops.FAMILIES` names them."""
