"""Tiny untrained models, a store in memory and a service on both."""

import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import polars as pl
from litestar.testing import TestClient

from metajax import Experiment, Recommender
from metajax.data import fit_encoding, interactions_from_frame
from metajax.experiment import MatrixFactorization, Ridge, SquaredError
from metajax.experiment.artifact import Artifact
from metajax.experiment.parts import make_parts
from metajax.serving.access import Access
from metajax.serving.app import make_app
from metajax.serving.keys import Keys, create_key
from metajax.serving.metrics import Metrics
from metajax.serving.service import Service
from metajax.serving.settings import Buckets, Settings
from metajax.serving.store import UserRecord
from metajax.serving.tokens import Sessions
from metajax.serving.version import Version
from metajax.serving.versions import Versions

BUCKETS = Buckets(tasks=(1, 4), rows=(4, 8), lists=(100,))
NUM_ITEMS = 20
SETTINGS = Settings(buckets=BUCKETS, deadline=30.0)


def make_artifact(learner=None, *, loss=None, seed=0):
    """Untrained, of items i0 to i19; users have a gender."""
    rows = [(f"u{user}", f"i{item}", 1.0 + (user + item) % 5) for user in range(3) for item in range(NUM_ITEMS)]
    ratings = pl.DataFrame(rows, schema=["user", "item", "target"], orient="row")
    interactions = interactions_from_frame(ratings, scale=(1.0, 5.0))
    encoding = fit_encoding(interactions, interactions.ratings, identity=("item",))
    levels = (1.0, 2.0, 3.0, 4.0, 5.0)
    model = MatrixFactorization(factors=4, factor_scale=1.0)
    experiment = Experiment(model=model, loss=loss or SquaredError(), learner=learner or Ridge())
    parts = make_parts(experiment, encoding, offset=3.0, levels=levels)
    return Artifact(
        experiment=experiment,
        encoding=encoding,
        offset=3.0,
        levels=levels,
        scale=(1.0, 5.0),
        item_ids=interactions.items["item"].to_list(),
        titles=[f"Title of {item}" for item in interactions.items["item"]],
        num_ratings=np.array([int(item[1:]) + 1 for item in interactions.items["item"]], np.int32),
        items=encoding.encode_items(interactions.items),
        meta_params=jax.jit(parts.learner.init)(jax.random.key(seed)),
    )


def make_version(learner=None, *, name="one", seed=0):
    """Return a version that is compiled."""
    version = Version(Recommender(make_artifact(learner, seed=seed)), name)
    version.warm_up(BUCKETS)
    return version


class MemoryStore:
    """Users in memory, and faults on demand."""

    def __init__(self):
        self.events, self.states, self.fault, self.closed = [], {}, None, False

    def _check(self):
        if self.fault is not None:
            raise self.fault

    async def append(self, events):
        self._check()
        fresh = []
        for event in events:
            fresh.append(event.id not in {one.id for one in self.events})
            if fresh[-1]:
                self.events.append(event)
        return fresh

    async def read(self, user, model):
        self._check()
        return UserRecord([one for one in self.events if one.user == user], self.states.get((user, model)))

    async def write_state(self, user, state):
        self._check()
        self.states[user, state.model] = state

    async def erase(self, user):
        self._check()
        kept = [one for one in self.events if one.user != user]
        erased, self.events = len(self.events) - len(kept), kept
        self.states = {key: state for key, state in self.states.items() if key[0] != user}
        return erased

    async def ready(self):
        self._check()

    async def close(self):
        self.closed = True


class Running(NamedTuple):
    """A service that answers."""

    client: TestClient
    service: Service
    store: MemoryStore
    keys: Path
    headers: dict[str, str]

    def post(self, path, body, **options):
        return self.client.post(path, json=body, **{"headers": self.headers} | options)

    def get(self, path, **options):
        return self.client.get(path, **{"headers": self.headers} | options)

    def items(self, body):
        """Recommend and return the list."""
        response = self.post("/v1/recommend", body)
        assert response.status_code == 200, response.text
        return response.json()["items"]

    def rate(self, user, **ratings):
        """Store ratings; all must be stored."""
        events = [{"user": user, "item": item, "rating": rating} for item, rating in ratings.items()]
        response = self.post("/v1/feedback", {"events": events})
        assert all(one["stored"] for one in response.json()["results"]), response.text


@contextmanager
def running(
    version, folder, *, settings=SETTINGS, store=None, scopes=("recommend", "feedback"), tokens=None, load=None
):
    """Serve until the end of the block; the default headers have a key of `scopes`."""
    keys = folder / "keys.json"
    text = create_key(keys, scopes)
    opened = Keys(keys)
    store = store or MemoryStore()
    service = Service(Versions(version, settings, load=load or Version.load), store, settings, Metrics())
    sessions = Sessions(opened.derived("session"), settings.session_rate)
    with TestClient(make_app(service, Access(opened, sessions, tokens)), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield Running(client, service, store, keys, bearer(text))


def wait_until_ready(client):
    for _ in range(600):
        if client.get("/health/ready").status_code == 200:
            return
        time.sleep(0.05)
    raise AssertionError(client.get("/health/ready").text)


def bearer(key):
    return {"Authorization": f"Bearer {key}"}
