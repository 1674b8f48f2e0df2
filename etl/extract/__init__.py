"""The stage extract: the raw bytes of one slice, or of the registry, into the landing, exactly as given."""

from datetime import date

from etl.errors import NotLanded, RegistryError
from etl.extract import files, registry
from etl.landing import Landing, Manifest, slice_shelf
from etl.settings import SecretLookup, Source

__all__ = ["extract_slice", "probe", "probe_registry", "pull_registry", "reuse_landed", "reuse_registry"]

pull_registry = registry.pull
probe_registry = registry.probe


def extract_slice(
    landing: Landing,
    name: str,
    source: Source,
    day: date,
    lookup: SecretLookup,  # noqa: ARG001  # a provider's API wants it, files do not
    *,
    replace: bool = False,
) -> Manifest:
    """Brings a slice's raw records into the landing; SliceErrors say why they do not come."""
    return files.extract(landing, name, source, day, replace=replace)


def reuse_landed(landing: Landing, name: str, day: date) -> Manifest:
    """Makes the version that was landed last the one to work on; where that was refused, the loaded one.

    NotLanded where there is neither.
    """
    manifest = _reusable(landing, slice_shelf(name, day))
    if manifest is None:
        raise NotLanded(name, day)
    landing.publish(manifest)
    return manifest


def reuse_registry(landing: Landing) -> Manifest:
    """The same for the registry; RegistryError where none was landed."""
    manifest = _reusable(landing, "registry")
    if manifest is None:
        raise RegistryError("no registry was landed; run without --from-landing")
    landing.publish(manifest)
    return manifest


def _reusable(landing: Landing, shelf: str) -> Manifest | None:
    newest, loaded = landing.newest(shelf), landing.loaded(shelf)
    return loaded if loaded and (newest is None or newest.status == "refused") else newest


def probe(source: Source, day: date, lookup: SecretLookup) -> str:  # noqa: ARG001
    """Whether a source can be reached, and what of a day is there, in words; errors say why not."""
    return files.probe(source, day)
