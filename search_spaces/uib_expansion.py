"""The space `uib` (MobileNetV4, arXiv 2404.10518) whose blocks also choose their expansion: 4 in the coarse search.

The paper has 4 in its coarse search (section 6.1) and 2 to 6 in its networks (Tab. 11 to 15); 3, 4 and 6 are those of
Once-for-All (arXiv 1908.09791, section 4.1).
"""

from search_spaces.uib import STAGES, uib_space, uib_stage

EXPANSIONS = (3.0, 4.0, 6.0)

SPACE = uib_space(
    "uib-expansion", tuple(uib_stage(number, *options, expansions=EXPANSIONS) for number, options in enumerate(STAGES))
)
