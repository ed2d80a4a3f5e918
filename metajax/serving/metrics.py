"""What the service counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

STORE_CALLS = ("append", "read", "write_state", "erase", "ready")
LOSSES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0)
TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The counters of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.latency = Histogram(
            "metajax_request_seconds", "Time of a request", ["route", "status"], buckets=SECONDS, registry=registry
        )
        self.waiting = Gauge("metajax_queue_length", "Jobs that wait for the next batch", registry=registry)
        self.admitted = Gauge("metajax_admitted", "Requests for a list that are being worked on", registry=registry)
        self.batch_sizes = Histogram(
            "metajax_batch_size", "Jobs answered together", buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self.compilations = Gauge(
            "metajax_compilations", "Programs compiled or fetched from the cache, warm-ups included", registry=registry
        )
        self.late_compilations = Counter(
            "metajax_late_compilations", "Programs that a request had to wait for: none is right", registry=registry
        )
        self.adaptation_loss = Histogram(
            "metajax_adaptation_loss",
            "Mean squared error of the adapted prediction on the ratings it was adapted to",
            ["model"],
            buckets=LOSSES,
            registry=registry,
        )
        self.feedback = Counter("metajax_feedback", "Events, by what became of them", ["outcome"], registry=registry)
        self.levels = Counter("metajax_rating_level", "New ratings by level of training", ["level"], registry=registry)
        self.rating_shift = Gauge(
            "metajax_rating_shift", "Mean of the latest ratings minus the mean of training", registry=registry
        )
        self.untrained = Counter(
            "metajax_untrained_item_ratings", "New ratings of items that nobody rated in training", registry=registry
        )
        self.unknown_items = Counter(
            "metajax_unknown_items", "Items in requests for a list that are not in the catalogue", registry=registry
        )
        self.known_items = Counter(
            "metajax_known_items", "Items in requests for a list that are in the catalogue", registry=registry
        )
        self.coverage = Gauge(
            "metajax_coverage", "Share of the catalogue in the latest lists, and in training", ["of"], registry=registry
        )
        self.arms = Counter("metajax_arm", "Lists by model and arm", ["model", "arm"], registry=registry)
        about = "Share of a list that the shadow lists too"
        self.shadow_overlap = Histogram("metajax_shadow_overlap", about, ["model"], buckets=TENTHS, registry=registry)
        self.storing = Gauge("metajax_storing", "Requests with feedback that are being worked on", registry=registry)
        self.erasing = Gauge("metajax_erasing", "Erasures that are being worked on", registry=registry)
        self.ready = Gauge("metajax_ready", "1 once all is compiled, until the service is to end", registry=registry)
        self.store_seconds = Histogram(
            "metajax_store_seconds",
            "Time of a call of the store of users",
            ["call"],
            buckets=SECONDS,
            registry=registry,
        )
        self.store_errors = Counter(
            "metajax_store_errors", "Calls of the store that failed", ["call"], registry=registry
        )
        for call in STORE_CALLS:  # from 0 on, so that the first error is seen as an increase
            self.store_errors.labels(call)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self.registry)
