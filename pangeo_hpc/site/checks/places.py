"""Checks of places: users' paths, scratch, environments, object stores, catalogs."""

from datetime import timedelta

from pangeo_hpc.site.checks.finding import Finding
from pangeo_hpc.site.checks.lines import unknown
from pangeo_hpc.site.model import Site
from pangeo_hpc.site.people import PLACEHOLDERS, placeholders


def every_user_apart(site: Site) -> list[Finding]:
    """Refuse a path of users that is the same for all of them."""
    paths = [("user_state", site.user_state)]
    paths += [(f"scratch.{name}.path", entry.path) for name, entry in site.scratch.items()]
    if site.home:
        paths.append(("home.path", site.home.path))
    found = []
    for path, text in paths:
        if not text.startswith(("~", "$")) and "user" not in placeholders(text):
            message = f"{text} is the same for every user"
            found.append(Finding(path, message, f"add {{user}}, as in {text.rstrip('/')}/{{user}}"))
    return found


def known_placeholders(site: Site) -> list[Finding]:
    """Refuse placeholders in paths that nothing fills."""
    paths = [("user_state", site.user_state)]
    paths += [(f"scratch.{name}.path", entry.path) for name, entry in site.scratch.items()]
    if site.home:
        paths.append(("home.path", site.home.path))
    for name, environment in site.environments.items():
        paths.append((f"environments.{name}.prefix", environment.prefix or ""))
        paths.append((f"environments.{name}.root", environment.root or ""))
    for name, store in site.object_stores.items():
        here = f"object_stores.{name}"
        paths.append((f"{here}.credentials", store.credentials or ""))
        paths.append((f"{here}.bucket", store.bucket or ""))
        paths.append((f"{here}.path", store.path or ""))
    for number, catalog in enumerate(site.catalogs):
        paths.append((f"catalogs[{number}].url", catalog.url))
    return [finding for path, text in paths for finding in unknown(path, text, PLACEHOLDERS)]


def purge(site: Site) -> list[Finding]:
    """Refuse scratch settings that contradict each other or could delete too much."""
    found = []
    for name, entry in site.scratch.items():
        here = f"scratch.{name}"
        for number, pattern in enumerate(entry.exempt):
            if not pattern.startswith("/"):
                text = f"{pattern!r} is not an absolute pattern"
                root = entry.root or "/scratch"
                hint = f"write it from the root, as in {root}/{pattern}"
                found.append(
                    Finding(f"{here}.exempt[{number}]", text, hint, needs=(f"{here}.root",))
                )
        if entry.max_share <= 0:
            hint = "write a share above 0, such as 25 %"
            found.append(Finding(f"{here}.max_share", "nothing could ever be purged", hint))
        if entry.notify:
            days = entry.notify.days
            if list(days) != sorted(set(days), reverse=True) or not days:
                text = "the days are not in falling order, each once"
                hint = f"write [{', '.join(map(str, sorted(set(days), reverse=True)))}]"
                found.append(Finding(f"{here}.notify.days", text, hint))
            if "@" not in entry.notify.from_:
                hint = "write it as hpc@alpha.example"
                found.append(
                    Finding(f"{here}.notify.from", f"{entry.notify.from_!r} is no address", hint)
                )
        if entry.purge is None:
            continue
        if entry.purge.after <= timedelta(0):
            hint = "write an age such as 60 days"
            found.append(Finding(f"{here}.purge.after", "everything would be purged at once", hint))
        if entry.purge.enforced_by == "pangeo-hpc" and entry.root is None:
            text = "pangeo-hpc purges here, and does not know what to scan"
            hint = "add root, or enforced_by: site if the centre purges"
            needs = (f"{here}.root", f"{here}.purge.enforced_by")
            found.append(Finding(f"{here}.purge", text, hint, needs=needs))
    return found


def environments(site: Site) -> list[Finding]:
    """Refuse an environment that is neither built by us nor there already, or both."""
    found = []
    for name, entry in site.environments.items():
        here = f"environments.{name}"
        both = (f"{here}.spec", f"{here}.prefix")
        if (entry.spec is None) == (entry.prefix is None):
            text = "it has both spec and prefix" if entry.spec else "it has neither spec nor prefix"
            hint = (
                "spec: a file that we build it from; prefix: an environment that is there already"
            )
            found.append(Finding(here, text, hint, needs=both))
        elif entry.spec is not None and entry.root is None:
            text, hint = (
                "it is built by us, and has no root",
                "add root: a folder for what is built",
            )
            found.append(Finding(here, text, hint, needs=(*both, f"{here}.root")))
        if entry.overlays == "scratch" and not site.scratch:
            text, hint = "the site has no scratch", "write home or none, or add a scratch section"
            found.append(Finding(f"{here}.overlays", text, hint, needs=("scratch",)))
    return found
