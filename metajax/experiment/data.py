"""Choices about data: where ratings come from, and how they are split."""

from dataclasses import dataclass, replace
from typing import Literal

from metajax.data import Interactions, Split, load, splits
from metajax.data.columns import Side
from metajax.data.cross_domain import cross_domain
from metajax.data.texts import with_text_vectors
from metajax.data.warm_up import warm_up
from metajax.errors import ConfigError

STARS_DEVIATION = 1.1


@dataclass(frozen=True)
class DataConfig:
    """Where the ratings come from, and which of their features a model sees."""

    source: str = "ml-latest-small"
    """ml-latest-small (bundled), another name of `metajax data list`, or a csv, parquet or RecBole .inter file."""
    user: str = "user"
    """The column of user ids, in a file of your own; by default one called like it, such as user_id."""
    item: str = "item"
    """The column of item ids, in a file of your own; by default one called like it, such as item_id or movieId."""
    target: str = "target"
    """The column of ratings, in a file of your own; by default one called like it, such as rating. A file without one
    says who took what up."""
    timestamp: str | None = None
    """The column of times, in a file of your own."""
    domain: str | None = None
    """The column of domains, in a file of your own."""
    users: str | None = None
    """A csv, tsv or parquet file of users: ids in a column called as in the ratings, all others are features."""
    items: str | None = None
    """A csv, tsv or parquet file of items: ids in a column called as in the ratings, maybe title; all else features."""
    scale: tuple[float, float] | None = None
    """Lowest and highest possible rating, in a file of your own; the range of the data by default."""
    unit: float | None = None
    """Rating points that count as one star: learners and baselines see ratings in it, for their choices were made on
    stars. By default 1 where training ratings differ about as much as stars do, by 1.1, and else what makes them."""
    identity: tuple[Side, ...] = ("item",)
    """Whose own id is a feature: an item seen in training then gets parameters of its own."""
    features: tuple[str, ...] | None = None
    """Names of the features that the model sees; all that the data declare by default."""
    min_count: int = 3
    """How many training items or users must show a value of a feature before it gets a parameter."""
    max_values: int | None = None
    """Drop features with more values than this from what models embed, such as names and postcodes; all by default."""
    estimate_content: bool = False
    """Add a feature: an item's mean rating as the whole item table, texts and vectors too, lets it be estimated."""
    text_encoder: str = ""
    """A sentence encoder (extra "text") that reads texts of items for `estimate_content`: a folder, or name@revision of
    sentence-transformers' hub. See metajax.data.texts for what it can tell."""
    text_columns: tuple[str, ...] = ("title",)
    """The columns of the item table that it reads, as one text."""
    strict: bool = False
    """Make a rejected row an error instead of a line in the quarantine file."""

    def __post_init__(self) -> None:
        """Check what can be checked without data."""
        if self.unit is not None and not 0 < self.unit < float("inf"):
            raise ConfigError(f"data.unit must be a positive number of rating points, got {self.unit}.")
        if self.text_encoder and not (self.estimate_content and self.text_columns):
            raise ConfigError(
                "data.text_encoder is for the content estimate: set data.estimate_content too, and name text_columns."
            )

    def resolved(self, deviation: float) -> "DataConfig":
        """Return the configuration with `unit` said.

        Args:
            deviation: of the training targets; 0 where all are alike.
        """
        if self.unit is not None:
            return self
        unit = deviation / STARS_DEVIATION
        return replace(self, unit=1.0 if not unit or 2 / 3 <= unit <= 3 / 2 else float(f"{unit:.3g}"))

    def load(self) -> Interactions:
        """Read and validate the ratings, and the texts of items where an encoder is named."""
        loaded = load(
            self.source,
            user=self.user,
            item=self.item,
            target=self.target,
            timestamp=self.timestamp,
            domain=self.domain,
            users=self.users,
            items=self.items,
            scale=self.scale,
            strict=self.strict,
        )
        return with_text_vectors(loaded, self.text_encoder, self.text_columns) if self.text_encoder else loaded


@dataclass(frozen=True)
class UserCold:
    """Cold users by hash: 70 % of users train, 10 % validate, 20 % are tested. For any data set."""

    draws: int = 5
    """Orders of each user's rows that are drawn."""

    def build(self, interactions: Interactions) -> Split:
        """Make the split."""
        return splits.user_cold(interactions, draws=self.draws)


@dataclass(frozen=True)
class MeluSplit:
    """MovieLens-1M as MeLU published it: cold users, cold items and both."""

    def build(self, interactions: Interactions) -> Split:
        """Make the split."""
        return splits.melu(interactions)


@dataclass(frozen=True)
class TanpSplit:
    """Cold users with 30 to 200 ratings; 20 rows of support, all others to be ranked."""

    draws: int = 5
    """Orders of each user's rows that are drawn."""

    def build(self, interactions: Interactions) -> Split:
        """Make the split."""
        return splits.tanp(interactions, draws=self.draws)


@dataclass(frozen=True)
class ItemCold:
    """Cold items; their raters are warm."""

    by: str = "hash"
    """"hash", "first_appearance", or a column of the item table whose highest values are cold."""
    share: float = 0.2
    """Share of the rated items that are cold."""

    def build(self, interactions: Interactions) -> Split:
        """Make the split."""
        return splits.item_cold(interactions, by=self.by, share=self.share)


@dataclass(frozen=True)
class BothCold:
    """Cold users and cold items, and all three cold states."""

    by: str = "hash"
    """"hash", "first_appearance", or a column of the item table whose highest values are cold."""
    share: float = 0.2
    """Share of users and of rated items that are cold."""

    def build(self, interactions: Interactions) -> Split:
        """Make the split."""
        return splits.both_cold(interactions, by=self.by, share=self.share)


@dataclass(frozen=True)
class Temporal:
    """A point in time: adapt on what came before it, be judged on what came after."""

    quantile: float = 0.8
    """Of all ratings, the share that lies before the point."""

    def build(self, interactions: Interactions) -> Split:
        """Make the split."""
        return splits.temporal(interactions, quantile=self.quantile)


@dataclass(frozen=True)
class CrossDomain:
    """Cold users of two domains: adapt on the source, be judged on the target; 70/10/20 of the users of both.

    With `episodes.order` "domain" the training episodes are drawn in the same way.
    """

    source: str = "book"
    """Domain of the support."""
    target: str = "music"
    """Domain of the query."""
    min_rows: int = 5
    """Fewest ratings of a test user in each of the two domains."""
    draws: int = 5
    """Orders of each user's support rows that are drawn."""

    def build(self, interactions: Interactions) -> Split:
        """Make the split."""
        return cross_domain(
            interactions, source=self.source, target=self.target, min_rows=self.min_rows, draws=self.draws
        )


@dataclass(frozen=True)
class WarmUp:
    """Tasks are items: old ones train, new ones are warmed up by three batches of ratings.

    Users and items swap their roles for all other choices too: "user" of `data.identity` is then the item.
    """

    old_rows: int = 300
    """Items with this many ratings are old; lower it for small data."""
    min_rows: int = 80
    """Items with fewer ratings than this are left out."""
    batch_rows: int = 20
    """Ratings of a batch; `evaluation.shots` of 0, one and two batches then show the phases."""
    order: Literal["time", "hash"] = "time"
    """"time": the first batch holds the oldest ratings; "hash": five draws."""

    def build(self, interactions: Interactions) -> Split:
        """Make the split."""
        return warm_up(
            interactions,
            old_rows=self.old_rows,
            min_rows=self.min_rows,
            batch_rows=self.batch_rows,
            order=self.order,
        )
