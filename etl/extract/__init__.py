"""The stage extract: copy the raw bytes of one slice, or of the registry, into the landing, exactly as given."""

from datetime import date

from etl.errors import ConfigurationError, ExpiredRaw, NotLanded, RefusedRegistry
from etl.extract import (
    api,
    brevo,
    files,
    mailersend,
    mailgun,
    mailjet,
    postmark,
    registry,
    sendgrid,
    sparkpost,
)
from etl.landing import Landing, Manifest, slice_prefix
from etl.settings import SecretLookup, Source

__all__ = [
    "check_sources",
    "extract_slice",
    "has_more",
    "probe",
    "probe_registry",
    "pull_registry",
    "reuse_landed",
    "reuse_registry",
]

PROVIDERS: dict[str, api.Provider] = {
    "brevo": brevo,
    "mailersend": mailersend,
    "mailgun": mailgun,
    "mailjet": mailjet,
    "postmark": postmark,
    "sendgrid": sendgrid,
    "sparkpost": sparkpost,
}
"""The providers whose API can be pulled, by the name of the format."""

pull_registry = registry.pull
probe_registry = registry.probe


def check_sources(sources: dict[str, Source]) -> None:
    """Raise a ConfigurationError for the first source whose ``api`` cannot be pulled."""
    for name, source in sources.items():
        if source.api is not None and source.format not in PROVIDERS:
            raise ConfigurationError(
                f"sources.{name}.api: {source.format} has none that can be pulled, only {', '.join(PROVIDERS)} have;"
                " set files instead"
            )
        if source.api is not None and source.secret is None:
            raise ConfigurationError(f"sources.{name}.secret is missing; name the secret that holds the provider's key")
        if source.api is not None and source.format == "mailersend" and source.domain is None:
            raise ConfigurationError(f"sources.{name}.domain is missing; write the id that MailerSend gave the domain")


def extract_slice(
    landing: Landing,
    name: str,
    source: Source,
    day: date,
    lookup: SecretLookup,
    *,
    today: date,
    replace: bool = False,
) -> Manifest:
    """Land the raw records of a slice; return the published manifest. A SliceError says why they cannot be landed."""
    if source.api is None:
        return files.extract(landing, name, source, day, replace=replace)
    return api.extract(landing, name, source, PROVIDERS[source.format], day, lookup, today=today, replace=replace)


def has_more(landing: Landing, name: str, source: Source, day: date, *, today: date, has_failed: bool) -> bool:
    """Tell whether a slice should be extracted again: files came or grew, or its API may have later events.

    Only a slice that was loaded, or that failed, is extracted again. Its files are compared with those of the loaded
    version, or without one with those of the newest landed version. An API may have later events while it keeps the day.
    A place that cannot be read counts as unchanged: the slices of the night's own day report that error.
    """
    prefix = slice_prefix(name, day)
    known = landing.loaded(prefix) or (landing.newest(prefix) or Manifest(prefix=prefix) if has_failed else None)
    if known is None:
        return False
    if source.api is not None:
        return not api.is_expired(PROVIDERS[source.format], day, today)
    return files.differ(source, day, known)


def reuse_landed(landing: Landing, name: str, day: date) -> Manifest:
    """Return the newest landed version, or publish the loaded one again where the newest was refused, and return it.

    Raise NotLanded where there is neither, and ExpiredRaw where its raw files are gone.
    """
    newest = landing.newest(slice_prefix(name, day))
    manifest = _reusable(landing, newest, slice_prefix(name, day))
    if manifest is None:
        raise NotLanded(name, day)
    if manifest.raw_expired_on:
        raise ExpiredRaw(name, day, manifest.raw_expired_on)
    if manifest != newest:
        landing.publish(manifest)
    return manifest


def reuse_registry(landing: Landing) -> Manifest:
    """Publish the registry's newest landed version again, or the loaded one where the newest was refused.

    Raise a RefusedRegistry where there is neither.
    """
    manifest = _reusable(landing, landing.newest("registry"), "registry")
    if manifest is None:
        raise RefusedRegistry("no registry was landed; run without --from-landing")
    landing.publish(manifest)
    return manifest


def _reusable(landing: Landing, newest: Manifest | None, prefix: str) -> Manifest | None:
    loaded = landing.loaded(prefix)
    return loaded if loaded and (newest is None or newest.status == "refused") else newest


def probe(source: Source, day: date, lookup: SecretLookup) -> str:
    """Check that a source can be reached; return a sentence about what it has of a day. An error says why it cannot."""
    if source.api is None:
        return files.probe(source, day)
    return api.probe(source, PROVIDERS[source.format], day, lookup)
