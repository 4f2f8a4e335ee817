"""An accuracy model that is a sum over decisions as a table, as a cost is one: predictions of batches by lookup."""

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes
from nas.search.accuracy.features import FeatureTables
from nas.search.accuracy.ridge import RidgeFit
from nas.space.cost_table import CostTable, Term


def compile_prediction(features: FeatureTables, fit: RidgeFit) -> CostTable:
    """Return the table of the predicted error, less is better: minus the accuracy that `fit` predicts from `features`.

    Exact to rounding: a ridge regression is linear in features that are sums of tables.
    """
    slopes = fit.coefficients / fit.standardiser.scale  # 0 for a feature that counts nothing
    constant = -(fit.intercept - float(fit.standardiser.centre @ slopes))
    terms = tuple(Term(term.scope, -(term.values @ slopes)) for term in features.terms)
    return CostTable("predicted_error", "sum", constant, terms, features.option_counts)


def predicted_top1(table: CostTable, genotypes: Genotypes) -> NDArray[np.float64]:
    """Return the predicted accuracy [N] of genotypes [N, D]."""
    return np.asarray(-table.score(genotypes))
