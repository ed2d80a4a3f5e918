"""Meta-learning algorithms: six pure functions each, for one task."""

from metajax.learners.cnp import CnpState as CnpState
from metajax.learners.cnp import cnp as cnp
from metajax.learners.flows import first_order as first_order
from metajax.learners.flows import full as full
from metajax.learners.gradient import GradientState as GradientState
from metajax.learners.gradient import gradient_learner as gradient_learner
from metajax.learners.mamo import mamo as mamo
from metajax.learners.meta_embedding import MetaEmbeddingState as MetaEmbeddingState
from metajax.learners.meta_embedding import meta_embedding as meta_embedding
from metajax.learners.mwuf import MwufState as MwufState
from metajax.learners.mwuf import mwuf as mwuf
from metajax.learners.objectives import last_step as last_step
from metajax.learners.objectives import without_adaptation as without_adaptation
from metajax.learners.presets import anil as anil
from metajax.learners.presets import joint as joint
from metajax.learners.presets import maml as maml
from metajax.learners.presets import melu as melu
from metajax.learners.ridge import RidgeState as RidgeState
from metajax.learners.ridge import ridge as ridge
from metajax.learners.rules import Rule as Rule
from metajax.learners.rules import sgd as sgd
from metajax.learners.selection import everything as everything
from metajax.learners.selection import paths as paths
