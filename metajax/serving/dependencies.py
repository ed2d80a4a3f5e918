"""What handlers ask for by name: the service and who may use it."""

from litestar.di import NamedDependency

from metajax.serving.access import Access
from metajax.serving.service import Service

TheService = NamedDependency[Service]
TheAccess = NamedDependency[Access]
