"""Named algorithms of the gradient engine, a few lines each."""

from metajax.learners.presets.initialisation import anil as anil
from metajax.learners.presets.initialisation import boil as boil
from metajax.learners.presets.initialisation import cavia as cavia
from metajax.learners.presets.initialisation import fomaml as fomaml
from metajax.learners.presets.initialisation import joint as joint
from metajax.learners.presets.initialisation import maml as maml
from metajax.learners.presets.initialisation import melu as melu
from metajax.learners.presets.learned_rules import alfa as alfa
from metajax.learners.presets.learned_rules import mamlpp as mamlpp
from metajax.learners.presets.learned_rules import meta_curvature as meta_curvature
from metajax.learners.presets.learned_rules import meta_sgd as meta_sgd
from metajax.learners.presets.proximal import imaml as imaml
from metajax.learners.presets.proximal import minibatch_prox as minibatch_prox
from metajax.learners.presets.proximal import mlr as mlr
from metajax.learners.presets.proximal import reptile as reptile
