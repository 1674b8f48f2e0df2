"""The stage extract: the raw bytes of one slice, or of the registry, into the landing, exactly as given."""

from datetime import date

from etl.errors import NotLanded
from etl.extract import files, registry
from etl.landing import Landing, Manifest, slice_shelf
from etl.settings import SecretLookup, Source

__all__ = ["extract_slice", "probe", "probe_registry", "pull_registry", "reuse_landed"]

pull_registry = registry.pull
probe_registry = registry.probe


def extract_slice(
    landing: Landing, name: str, source: Source, day: date, lookup: SecretLookup, *, replace: bool = False
) -> Manifest:
    """Brings a slice's raw records into the landing; SliceErrors say why they do not come."""
    return files.extract(landing, name, source, day, replace=replace)


def reuse_landed(landing: Landing, name: str, day: date) -> Manifest:
    """Makes the version that was landed last the one to work on; where that was refused, the loaded one.

    NotLanded where there is neither.
    """
    newest, loaded = landing.newest(slice_shelf(name, day)), landing.loaded(slice_shelf(name, day))
    manifest = loaded if loaded and (newest is None or newest.status == "refused") else newest
    if manifest is None:
        raise NotLanded(name, day)
    landing.publish(manifest)
    return manifest


def probe(source: Source, day: date, lookup: SecretLookup) -> str:
    """Whether a source can be reached, and what of a day is there, in words; errors say why not."""
    return files.probe(source, day)
