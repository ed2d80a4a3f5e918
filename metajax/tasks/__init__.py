"""Users as learning problems: the catalogue and histories on the device, and the tasks drawn from them."""

from metajax.tasks.batches import batches as batches
from metajax.tasks.catalogue import Catalogue as Catalogue
from metajax.tasks.catalogue import Histories as Histories
from metajax.tasks.catalogue import StoredHistories as StoredHistories
from metajax.tasks.catalogue import catalogue as catalogue
from metajax.tasks.catalogue import histories as histories
from metajax.tasks.catalogue import lengths as lengths
from metajax.tasks.episodes import Bucket as Bucket
from metajax.tasks.episodes import EpisodeConfig as EpisodeConfig
from metajax.tasks.episodes import make_buckets as make_buckets
from metajax.tasks.episodes import sample_tasks as sample_tasks
from metajax.tasks.stored import open_histories as open_histories
from metajax.tasks.stored import write_histories as write_histories
from metajax.tasks.taskset import TaskSet as TaskSet
