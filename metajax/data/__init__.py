"""Ratings from files to encoded columns, with polars; nothing here imports JAX."""

from metajax.data.columns import Column as Column
from metajax.data.columns import Feature as Feature
from metajax.data.describe import Description as Description
from metajax.data.describe import describe as describe
from metajax.data.encoding import Encoding as Encoding
from metajax.data.encoding import fit_encoding as fit_encoding
from metajax.data.interactions import Interactions as Interactions
from metajax.data.interactions import interactions_from_frame as interactions_from_frame
from metajax.data.scenarios import Scenario as Scenario
from metajax.data.scenarios import Split as Split
from metajax.data.sources import load as load
from metajax.data.validation import Quarantine as Quarantine
