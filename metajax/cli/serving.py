"""The verb serve, and the keys that open what it serves."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from metajax.cli.compilation import compute_in_place, leave_a_core, programs_folder, use_compilation_cache
from metajax.errors import ConfigError, StorageError
from metajax.serving.settings import Buckets, Settings

if TYPE_CHECKING:
    from metajax.serving.access import Access
    from metajax.serving.tokens import WebTokens

KEYS = Path("keys.json")
DEFAULT = Settings()


@dataclass(frozen=True)
class ServeOptions:
    """How to serve."""

    host: str = "127.0.0.1"
    """Address to listen on. Others reach the service on 0.0.0.0: put a proxy with https before it."""
    port: int = 8000
    """Port to listen on; 0 takes any that is free."""
    store: str = "sqlite:///users.db"
    """Where users are kept: sqlite:///FILE, redis://HOST:PORT/0 or postgresql://USER:PASSWORD@HOST/DATABASE."""
    store_file: Path | None = None
    """File that holds the store's address instead: command lines can be read by others, and an address may hold a
    password."""
    keys: Path = KEYS
    """File of keys. If there is none it is made, with one key that is printed once."""
    jwt_key: Path | None = None
    """File with a public Ed25519 key (PEM) or a shared secret: JSON Web Tokens that it signed are keys too."""
    models: Path | None = None
    """Folder below which an administrator may load other models; by default the one that RUN lies in."""
    public_key: Path | None = None
    """File with a public Ed25519 key (PEM): only artifacts that its owner signed are served, now and later."""
    experiment: Path | None = None
    """The experiment file, needed only where it brings parts of its own."""
    page: bool = True
    """Give whoever opens the page a cookie that is bound to a new, anonymous user."""
    secure_cookies: bool = False
    """Mark that cookie as one for https only."""
    max_waiting: int = DEFAULT.max_waiting
    """Requests for a list that are worked on at once; one more is answered 429."""
    deadline: float = DEFAULT.deadline
    """Seconds after which a request is answered 504."""
    linger: float = DEFAULT.linger
    """Seconds after SIGTERM in which requests are still taken, though /health/ready says no: as long as a proxy needs
    to notice. Then none are lost when one replica after the other is restarted."""
    buckets: tuple[int, ...] = DEFAULT.buckets.tasks
    """Numbers of requests that are answered together, ascending; a batch is padded to the next. 1 alone: no batches."""
    log_requests: bool = False
    """Log every request; those that fail are logged anyway."""


def serve_verb(arguments: Sequence[str]) -> None:
    """Serve a run, or manage keys."""
    import tyro

    if arguments and arguments[0] == "keys":
        _keys(arguments[1:])
        return

    def serve(run: Path, /, options: Annotated[ServeOptions, tyro.conf.arg(name="")]) -> None:
        """Serve a run: recommendations that adapt to each user as they act, by HTTP.

        It answers on http://127.0.0.1:8000: /docs describes the API, /health/ready says when all is compiled. Users
        are kept in one SQLite file unless --store says otherwise. Keys: `metajax serve keys create --scope recommend`.

        Args:
            run: Folder of a run or an exported artifact.
            options: How to serve.
        """
        _serve(run, options)

    tyro.cli(serve, prog="metajax serve", args=list(arguments))


def _serve(run: Path, options: ServeOptions) -> None:
    _check_installed()
    use_compilation_cache(min_seconds=0)
    compute_in_place()
    leave_a_core()
    from functools import partial

    from metajax.experiment import load_experiment
    from metajax.serving.app import make_app
    from metajax.serving.logs import log_as_json
    from metajax.serving.metrics import Metrics
    from metajax.serving.open_store import open_store
    from metajax.serving.server import Server, open_socket
    from metajax.serving.service import Service
    from metajax.serving.version import Version
    from metajax.serving.versions import Versions

    log_as_json()
    users = _store_address(options)
    settings = _settings(run, options)
    parts = load_experiment(options.experiment) if options.experiment else None
    load = partial(Version.load, experiment=parts, public_key=options.public_key)
    versions = Versions(load(run), settings, load=load)
    tokens = _tokens(options)
    with open_socket(options.host, options.port) as listening:
        address = f"http://{options.host}:{listening.getsockname()[1]}"
        store = open_store(users)
        new_key = _first_key(options.keys)  # after all that may fail: it is shown once
        access = _access(options, settings, tokens)
        service = Service(versions, store, settings, Metrics())
        greet = partial(_greet, address, options, new_key)
        server = Server(make_app(service, access), service, greet)
        server.run(sockets=[listening])
    if service.failure is not None:
        raise service.failure
    if versions.loading is not None or not versions.is_ready:
        os._exit(0)  # all is closed; only a compilation is still running, and nothing can stop it


def _store_address(options: ServeOptions) -> str:
    if options.store_file is None:
        return options.store
    try:
        return options.store_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{options.store_file} cannot be read: {error}.") from error


def _settings(run: Path, options: ServeOptions) -> Settings:
    return Settings(
        buckets=Buckets(tasks=options.buckets),
        max_waiting=options.max_waiting,
        deadline=options.deadline,
        models=options.models or run.resolve().parent,
        secure_cookies=options.secure_cookies,
        linger=options.linger,
        log_requests=options.log_requests,
        owns_process=True,
        traces=programs_folder(),
    )


def _tokens(options: ServeOptions) -> "WebTokens | None":
    from metajax.serving.tokens import WebTokens

    return WebTokens.from_file(options.jwt_key) if options.jwt_key else None


def _access(options: ServeOptions, settings: Settings, tokens: "WebTokens | None") -> "Access":
    from metajax.serving.access import Access
    from metajax.serving.keys import Keys
    from metajax.serving.tokens import Sessions

    keys = Keys(options.keys)
    sessions = Sessions(keys.derived("session"), settings.session_rate) if options.page else None
    return Access(keys, sessions, tokens)


def _first_key(path: Path) -> str | None:
    from metajax.serving.keys import create_key

    return None if path.exists() else create_key(path, ("recommend", "feedback"))


def _greet(address: str, options: ServeOptions, new_key: str | None) -> None:
    lines = [f"The page:  {address}/", f"The API:   {address}/docs"]
    if new_key is None:
        lines.append(f"A key:     metajax serve keys create --scope recommend --scope feedback --file {options.keys}")
    else:
        call = f"curl -H 'Authorization: Bearer {new_key}' -H 'Content-Type: application/json'"
        lines += [
            f"A key:     {new_key}",
            f"           It is shown this once; {options.keys} has its hash.",
            f'Try:       {call} {address}/v1/recommend -d \'{{"user": "me"}}\'',
        ]
    print("\n".join(lines), flush=True)


def _keys(arguments: Sequence[str]) -> None:
    """Manage the keys that open a service."""
    import tyro

    def create(
        *,
        scope: Annotated[tuple[Literal["recommend", "feedback", "admin"], ...], tyro.conf.UseAppendAction],
        user: str | None = None,
        rate: float | None = None,
        file: Path = KEYS,
    ) -> None:
        """Make a key and print it, this once: the file keeps its hash. A service that runs takes it in a second.

        Args:
            scope: What the key may do; once for each scope.
            user: The only user whose state it may read and move; any by default.
            rate: Requests per second that it may make, of which each event and each request of a batch counts as one;
                any number by default.
            file: Of keys; made if there is none.
        """
        from metajax.serving.keys import create_key

        print(create_key(file, scope, user=user, rate=rate))

    def list_keys(*, file: Path = KEYS) -> None:
        """Print the keys of a file: id, scopes, user and rate.

        Args:
            file: Of keys.
        """
        from metajax.serving.keys import read_keys

        for key in read_keys(file).keys:
            bound = "any user" if key.user is None else f"user {key.user}"
            rate = "any rate" if key.rate is None else f"{key.rate:g} a second"
            print(f"{key.id}  {' '.join(key.scopes)}  {bound}  {rate}")

    def delete(name: str, /, *, file: Path = KEYS) -> None:
        """Take a key out of a file. A service that runs refuses it in a second.

        Args:
            name: The key's id, which its text has after mjx_ and `metajax serve keys list` prints.
            file: Of keys.
        """
        from metajax.serving.keys import delete_key

        delete_key(file, name)

    _check_installed()
    verbs = {"create": create, "list": list_keys, "delete": delete}
    tyro.extras.subcommand_cli_from_dict(verbs, prog="metajax serve keys", args=list(arguments))


def _check_installed() -> None:
    """Raise ConfigError unless the extra is there."""
    try:
        import jwt
        import litestar
        import msgspec
        import prometheus_client
        import uvicorn
    except ImportError as error:
        raise ConfigError(f"Serving needs {error.name}: pip install 'metajax[serve]'.") from error
    del jwt, litestar, msgspec, prometheus_client, uvicorn
