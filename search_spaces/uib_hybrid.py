"""The space `uib` with the mobile multi-query attention of MobileNetV4 (arXiv 2404.10518) behind blocks, or not.

The paper (Tab. 13 and 15) places attention by hand, in the last two stages and behind UIB blocks. Here, on maps of
16x16 px and less, it is a decision of the fine search, `stageS.blockI.attention`: none, or heads, their size and the
stride of keys and values. The coarse search, which decides filters and depths, goes without. As in the paper's hybrids
attention has layer scale and begins as good as absent; UIB blocks have none, as in `uib`, whose genotypes of blocks
this space keeps. At 224 px stages 1 and 2 have maps of 14x14 and 7x7 px.
"""

from nas.ops.mobile_mqa import MobileMQAChoices
from nas.space.choices import Absent, Switch
from search_spaces.uib import STAGES, uib_space, uib_stage

ATTENTION = Switch((Absent(), MobileMQAChoices()), name="attention")
FIRST_WITH_ATTENTION = 1  # number of the stage from which on maps have 16x16 px or less

SPACE = uib_space(
    "uib-hybrid",
    tuple(
        uib_stage(number, *options, behind=ATTENTION if number >= FIRST_WITH_ATTENTION else None)
        for number, options in enumerate(STAGES)
    ),
)
