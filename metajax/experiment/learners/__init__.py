"""Choices of learner: how a user is adapted to, and how that is learned."""

from metajax.experiment.learners.closed_form import BayesianLinear as BayesianLinear
from metajax.experiment.learners.closed_form import GaussianProcess as GaussianProcess
from metajax.experiment.learners.closed_form import Prototypes as Prototypes
from metajax.experiment.learners.closed_form import Ridge as Ridge
from metajax.experiment.learners.closed_form import StudentT as StudentT
from metajax.experiment.learners.gradient import Anil as Anil
from metajax.experiment.learners.gradient import Joint as Joint
from metajax.experiment.learners.gradient import Maml as Maml
from metajax.experiment.learners.gradient import Melu as Melu
from metajax.experiment.learners.learned_rules import Alfa as Alfa
from metajax.experiment.learners.learned_rules import Boil as Boil
from metajax.experiment.learners.learned_rules import Cavia as Cavia
from metajax.experiment.learners.learned_rules import ImplicitMaml as ImplicitMaml
from metajax.experiment.learners.learned_rules import MamlPlusPlus as MamlPlusPlus
from metajax.experiment.learners.learned_rules import MetaCurvature as MetaCurvature
from metajax.experiment.learners.learned_rules import MetaSgd as MetaSgd
from metajax.experiment.learners.learned_rules import MinibatchProx as MinibatchProx
from metajax.experiment.learners.learned_rules import Mlr as Mlr
from metajax.experiment.learners.learned_rules import Reptile as Reptile
from metajax.experiment.learners.memory import Mamo as Mamo
from metajax.experiment.learners.neural_process import AttentiveNeuralProcess as AttentiveNeuralProcess
from metajax.experiment.learners.neural_process import ConditionalNeuralProcess as ConditionalNeuralProcess
from metajax.experiment.learners.neural_process import TaNP as TaNP
from metajax.experiment.learners.ranking import Autoencoder as Autoencoder
from metajax.experiment.learners.warm_up import MetaEmbedding as MetaEmbedding
from metajax.experiment.learners.warm_up import Mwuf as Mwuf
