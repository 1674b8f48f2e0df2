"""The configuration: one file, ``analytics.toml``, and the environment variables that override it.

The names of the keys are a promise to users. An unknown key is an error that names it. The file never holds a secret:
a key ``secret`` names one, and the entry points look it up, in the environment or in Airflow's connections.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, quote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from etl import mailbox
from etl.errors import ConfigurationError

SecretLookup = Callable[[str], str | None]
"""A function that returns the text of a named secret, or None where it is not set. A stage gets secrets only through it."""

SourceName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
RegistryTable = Literal["issuers", "certificates", "recipients", "subscriptions"]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Days = Annotated[int, Field(ge=1, le=36_500)]
Seconds = Annotated[int, Field(ge=0, le=86_400)]
Day = Annotated[date, Field(ge=date(2010, 1, 1))]
Key = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]

_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_MEMORY = range(64 * 10**6, 2**50)

MAIL_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
"""The schemes of a mail server's URL, and the port of each where the URL has none."""


def _without_password(url: str) -> str:
    if not url:
        raise ValueError("it is empty; write a URL")
    if urlsplit(url).password:
        raise ValueError("it holds a password; take it out and name it with the key secret")
    return url


def _with_host(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:  # port raises what is no port
        raise ValueError("it is no address of an API; write it as https://api.example.com")
    return url


def _path(path: str) -> str:
    if not re.fullmatch(r"/[^\s?#]*", path):
        raise ValueError("it is no path of a request; write it with its slash and without a query, as in /px.gif")
    return path


def _memory(limit: str) -> str:
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([kmgt]i?|)b", limit.strip().lower())
    if not found or not _MEMORY.start <= float(found[1]) * _BYTES[found[2]] < _MEMORY.stop:
        raise ValueError("it is no size of memory from 64MB on; write it as 2GB, 1500MB or 4GiB")
    return limit.strip()


def _one_mailbox(text: str) -> str:
    mailbox.parse(text)
    return text


def _of_a_mail_server(url: str) -> str:
    parts = urlsplit(url)
    if mailbox.has_controls(url) or parts.scheme not in MAIL_PORTS or not parts.hostname:
        raise ValueError("it is no address of a mail server; write smtp://host, smtps://host or smtp+starttls://host")
    if not (_has_port(parts) and _can_be_sought(parts.hostname)):
        raise ValueError("its host or port cannot be; write smtp://mail.example.com:25, with a port from 1 to 65535")
    return url


def _has_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _can_be_sought(host: str) -> bool:
    try:
        return ":" in host or bool(mailbox.to_a_labels(host.removesuffix(".")))
    except ValueError:
        return False


def _with_token(url: str) -> str:
    if not _has_placeholder(url, {"token": "1"}, {"token": "2"}):
        raise ValueError("it must have {token}, and no other braces, as in https://example.com/unsubscribe/{token}")
    if not re.fullmatch(r"https?://[!-~]+", url) or re.search(r'[<>"]', url):
        raise ValueError("it must begin with https:// and have no blank, line break, bracket or letter beyond ASCII")
    return url


def _without_repeats(names: list[str]) -> list[str]:
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"it names {repeated!r} twice; write each key once")
    return names


def _no_single_link(count: int) -> int:
    if count == 1:
        raise ValueError("1 makes every click a machine's; write at least 2, or 0 for off")
    return count


def _has_placeholder(template: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether a template has a placeholder of those names, and none of another name.

    ``one`` and ``other`` are two values for each, whose results must differ.
    """
    try:
        return template.format(**one) != template.format(**other)
    except (KeyError, IndexError, ValueError, AttributeError):
        return False


_TWO_DAYS = (date(2019, 12, 30), date(2031, 1, 14))  # year, month, day, week and weekday differ


def _named_days(day: date) -> dict[str, date]:
    """Return the days that a pattern of files can name for a slice."""
    return {"day": day, "next_day": day + timedelta(days=1)}


Url = Annotated[str, AfterValidator(_without_password)]
ApiUrl = Annotated[Url, AfterValidator(_with_host)]
MailUrl = Annotated[Url, AfterValidator(_of_a_mail_server)]
Mailbox = Annotated[str, AfterValidator(_one_mailbox)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _holds_no_control_characters(self) -> Self:
        for name in type(self).model_fields:
            if any(not is_clean(text) for text in _texts(getattr(self, name))):
                raise ValueError(f"{name} holds control characters, or bytes that are no text; write it without them")
        return self


def is_clean(text: str) -> bool:
    """Tell whether a text has neither control characters, but for white space, nor parts of a character."""
    return not re.search(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]", text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        yield from (text for part in (value.values() if isinstance(value, dict) else value) for text in _texts(part))


class Landing(_Table):
    """The location of the slices' files: any fsspec URL."""

    url: Url = "file:landing"


class Warehouse(_Table):
    """The rebuildable store of events and figures."""

    url: Url
    secret: str | None = None


class State(_Table):
    """The small database of what cannot be rebuilt. The default is SQLite beside the configuration file."""

    url: Url | None = None
    secret: str | None = None


class Registry(_Table):
    """Issuers, certificates, recipients and subscriptions: a folder with four CSV files, or a database with four queries."""

    url: Url
    secret: str | None = None
    queries: dict[RegistryTable, str] = {}


class Source(_Table):
    """One event log: its format, the origin of its raw records, and the days that are expected."""

    format: str
    files: str | None = None
    api: ApiUrl | None = None
    domain: str | None = None
    secret: str | None = None
    since: Day | None = None
    until: Day | None = None
    recipient_key: Key = "recipient_id"
    certificate_key: Key = "certificate_id"
    metadata_keys: Annotated[list[Key], AfterValidator(_without_repeats)] = []
    may_be_empty: bool = False
    late_days: int = Field(default=2, ge=0, le=366)
    pixel_path: Annotated[str, AfterValidator(_path)] = "/px.gif"

    @model_validator(mode="after")
    def _is_one_log(self) -> Self:
        if (self.files is None) == (self.api is None):
            raise ValueError("set exactly one of files and api")
        if self.since and self.until and self.until < self.since:
            raise ValueError("until lies before since; the last day expected comes after the first")
        return self

    def files_of(self, day: date) -> str:
        """Return the place of the files of a slice: the pattern with the day, or the day after, written out."""
        return str(self.files).format(**_named_days(day))


class Credential(_Table):
    """The rules by which a click on a link counts for a credential. A change needs no new load.

    ``hosts`` lists the hosts on which recipients see their credentials. A click counts only on a link to one of them.
    Without any, a click counts on every link except an opt-out link.

    With ``count_share_links`` a person's click on a network's share page also counts as a share on that network, and a
    click on LinkedIn's add-to-profile also counts as an addition to the profile. Switch it on only where mails hold
    such links. It is off by default, because a click shows that a share was begun, not that it was posted.
    """

    hosts: list[str] = []
    count_share_links: bool = False


class Machines(_Table):
    """The timing rules that attribute a click to a machine. 0 switches a rule off. A change needs no new load.

    Both rules are off by default: no threshold is authoritative, and each takes some people for machines. Good values to
    begin with are 5 seconds after the delivery, and 3 different links of one message within 2 seconds.
    """

    click_after_delivery_seconds: Seconds = 0
    links_at_once: Annotated[int, AfterValidator(_no_single_link)] = Field(default=0, ge=0, le=1000)
    links_at_once_seconds: Seconds = 2


class Mail(_Table):
    """The settings for sending reports: server, sender, unsubscribe link, hours, and what happens when nothing is new.

    Nothing is sent to a subscriber unless ``enabled``.
    """

    url: MailUrl = "smtp://localhost:25"
    secret: str | None = None
    sender: Mailbox = "Certificate reports <reports@localhost>"
    reply_to: Mailbox | None = None
    unsubscribe_url: Annotated[str, AfterValidator(_with_token)] | None = None
    send_hour: int = Field(default=7, ge=0, le=23)
    grace_hours: int = Field(default=24, ge=0, le=8760)
    when_quiet: Literal["short", "skip"] = "short"
    enabled: bool = False


class Alerts(_Table):
    """Where alerts go, and the hours after which a night is late.

    ``mail`` is an address, ``connection`` the id of a connection of Airflow's. An alert goes out once for each cause, and
    once when it is over, also while ``mail.enabled`` is false.
    """

    mail: Mailbox | None = None
    connection: str | None = Field(default=None, min_length=1)
    deadline_hours: int = Field(default=4, ge=1, le=21)


class Privacy(_Table):
    """The name of the secret that keys the hashes of addresses."""

    secret: str | None = None


class Validation(_Table):
    """The limits beyond which a slice is not loaded, and those beyond which a loaded slice gets a warning.

    A loaded slice gets a warning in three cases. The duplicates exceed ``duplicate_rate_maximum`` of the raw records. The
    events of no known recipient exceed ``unattributed_rate_maximum`` of the events. Or the number of raw records differs
    by more than ``volume_factor`` from the source's average of the 14 days before: over that many times the average, or
    under the average divided by it. The other limits refuse a slice. A slice with fewer raw records than
    ``reject_rate_minimum_count`` is small. Where nothing of it was understood, no minimum counts.
    """

    reject_rate_maximum: Share = 0.10
    reject_rate_minimum_count: int = Field(default=1000, ge=0, le=10**12)
    small_reject_rate_maximum: Share = 0.50
    small_reject_rate_minimum_count: int = Field(default=10, ge=0, le=10**12)
    unknown_rate_maximum: Share = 0.10
    duplicate_rate_maximum: Share = 0.10
    unattributed_rate_maximum: Share = 0.10
    volume_factor: float = Field(default=3, ge=1, le=10**6, allow_inf_nan=False)


class Normalise(_Table):
    """The resources of one normalising task. Beyond the memory limit it spills to disk."""

    memory_limit: Annotated[str, AfterValidator(_memory)] = "2GB"
    threads: int | None = Field(default=None, ge=1, le=256)


class Retention(_Table):
    """How many days the files of the landing are kept after they were written, by kind.

    Events stay as long as the landing does. A raw file stays longer than ``raw_days`` while a run may need it: within the
    late days of its source, and while nothing of its slice is loaded.
    """

    raw_days: Days = 30
    reports_days: Days = 400
    superseded_days: Days = 1
    scratch_days: Days = 1


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        env_prefix="ANALYTICS_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    landing: Landing = Landing()
    warehouse: Warehouse
    state: State = State()
    registry: Registry
    sources: dict[SourceName, Source] = {}
    credential: Credential = Credential()
    machines: Machines = Machines()
    mail: Mail = Mail()
    alerts: Alerts = Alerts()
    privacy: Privacy = Privacy()
    validation: Validation = Validation()
    normalise: Normalise = Normalise()
    retention: Retention = Retention()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic-settings calls by these names
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment first, then the file."""
        return env_settings, TomlConfigSettingsSource(settings_cls, toml_file=config_path())

    @model_validator(mode="after")
    def _mail_needs_since(self) -> Self:
        late = [name for name, source in self.sources.items() if source.since is None]
        if self.mail.enabled and late:
            raise ValueError(f"sources.{late[0]}.since is required once mail.enabled is true")
        return self

    @model_validator(mode="after")
    def _files_name_only_their_day(self) -> Self:
        for name, source in self.sources.items():
            if "{" in (source.files or "") and not _has_placeholder(source.files or "", *map(_named_days, _TWO_DAYS)):
                raise ValueError(
                    f"sources.{name}.files may name the day, as in logs/{{day:%Y-%m-%d}}.gz, or {{next_day:...}}, the day"
                    " after it, and have no other braces"
                )
        return self

    @property
    def state_url(self) -> str:
        """The URL of the state. Where none is configured, ``state.db`` beside the configuration file."""
        return self.state.url or f"sqlite:///{config_path().absolute().parent / 'state.db'}"


def config_path() -> Path:
    """Return the path of the configuration file: ``ANALYTICS_CONFIG``, or ``analytics.toml`` in the working directory."""
    return Path(os.environ.get("ANALYTICS_CONFIG", "analytics.toml"))


def load() -> Settings:
    """Read the configuration; raise a ConfigurationError that names every wrong key and what to do."""
    path = config_path()
    if not path.is_file():
        raise ConfigurationError(f"no configuration at {path}; write one, or set ANALYTICS_CONFIG to its path")
    _refuse_unknown_variables()
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigurationError("; ".join(_sentence(detail) for detail in error.errors())) from None
    except SettingsError as error:
        raise ConfigurationError(
            f'a variable cannot be read ({error}); a list is written as JSON: \'["a.example", "b.example"]\''
        ) from None
    except RecursionError:
        raise ConfigurationError(f"{path}, or a variable, nests values too deeply; write them flat") from None
    except ValueError as error:  # the file is not TOML
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from None


def files_of(form: str, pixel_path: str) -> Source:
    """Return a source without a place, for files that a user names; raise a ConfigurationError for a wrong path."""
    try:
        return Source(format=form, files="", pixel_path=pixel_path)
    except ValidationError as error:
        raise ConfigurationError("; ".join(_sentence(detail) for detail in error.errors())) from None


def from_environment(name: str) -> str | None:
    """Return an environment variable, or None where it is unset or empty. The command line looks up its secrets here."""
    return os.environ.get(name) or None


def with_password(url: str, secret: str | None, lookup: SecretLookup) -> str:
    """Return the URL with the named secret as its password; raise a ConfigurationError where that secret is not set.

    Without a name, return the URL unchanged.
    """
    if secret is None:
        return url
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(require(secret, lookup), safe='')}@{host}").geturl()


def require(secret: str, lookup: SecretLookup) -> str:
    """Return the text of a secret; raise a ConfigurationError that names it where it is not set."""
    text = lookup(secret)
    if text is None:
        raise ConfigurationError(
            f"the secret {secret} is not set; export {secret}=... or add an Airflow connection of that id"
        )
    return text


def _refuse_unknown_variables() -> None:
    for name in os.environ:
        table, separator, _ = name.removeprefix("ANALYTICS_").partition("__")
        if name.startswith("ANALYTICS_") and separator and table.lower() not in Settings.model_fields:
            known = ", ".join(Settings.model_fields)
            raise ConfigurationError(f"the variable {name} names no table of the configuration; there are {known}")


def _sentence(detail: Any) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key}; remove it or correct its spelling"
    if detail["type"] == "missing":
        return f"{key} is missing; add it"
    if key.endswith(".[key]"):
        return f"{key.removesuffix('.[key]')} is no name that can stand here: {detail['msg'].removeprefix('String ')}"
    message = detail["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    return f"{key}: {message}" if key else message
