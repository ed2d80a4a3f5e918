"""HOW fast parameters move: update rules whose own hyper-parameters can be learned, chained as in optax."""

from metajax.learners.rules.alfa import alfa_rule as alfa_rule
from metajax.learners.rules.base import Rule as Rule
from metajax.learners.rules.base import chain as chain
from metajax.learners.rules.curvature import curvature as curvature
from metajax.learners.rules.descent import from_optax as from_optax
from metajax.learners.rules.descent import per_element as per_element
from metajax.learners.rules.descent import per_step as per_step
from metajax.learners.rules.descent import sgd as sgd
from metajax.learners.rules.proximal import proximal as proximal
from metajax.learners.rules.proximal import weight_decay as weight_decay
