"""The form's page: a link fills it and starts nothing; a mistake stands beside its field."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.handlers import default_handlers
from jupyterhub.handlers.pages import SpawnHandler
from jupyterhub.scopes import needs_scope
from tornado import web
from tornado.httputil import url_concat
from tornado.web import StaticFileHandler

from pangeo_hpc.errors import PangeoHpcError, RequestRefused
from pangeo_hpc.hub import forms
from pangeo_hpc.hub.choices import read
from pangeo_hpc.hub.estimates import Busy, Preview, until
from pangeo_hpc.hub.fields import beside
from pangeo_hpc.hub.soonest import Offer
from pangeo_hpc.texts import LANGUAGE, Texts

PATHS = (r"/api/pangeo-hpc/form/([^/]+)", r"/api/pangeo-hpc/form/([^/]+)/([^/]+)")
STATIC = (
    r"/pangeo-hpc/static/(form\.(?:js|css))",
    StaticFileHandler,
    {"path": Path(__file__).with_name("static")},
)
_LARGEST = 50_000


class SpawnPage(SpawnHandler):
    """JupyterHub's page of the form, with ours in it."""

    _shown: Mapping[str, Any] | None = None

    def _get_user_options(self, query_options: Mapping[str, Any]) -> dict[str, Any]:
        """Return nothing: a link fills the form, and only its button starts a server."""
        del query_options
        return {}

    @needs_scope("servers")  # type: ignore[untyped-decorator]
    async def _post(self, user_name: str, server_name: str, display_name: str) -> None:
        what = self.get_body_argument("_show", "")
        if not what:
            await super()._post(user_name, server_name, display_name)
            return
        user = self.find_user(user_name)
        if user is None:
            raise web.HTTPError(404, f"No such user: {user_name}")
        if server_name:
            await self._check_named_server_request(user, server_name, display_name)
        spawner = user.get_or_create_spawner(server_name, display_name, replace_failed=True)
        spawner.handler = self
        given = forms.of_request(self.request.body_arguments)
        self._shown = await told(spawner, given, what)
        self.finish(await self._render_form(user, ""))

    async def _render_form(
        self, for_user: Any, spawner_options_form: str, message: str = "", html_message: str = ""
    ) -> str:
        """Return the page; what was typed stays, and each problem stands beside its field."""
        del html_message
        name = self.path_args[1] if len(self.path_args) > 1 and self.path_args[1] else ""
        spawner = for_user.spawners.get(name) or for_user.spawner
        spawner.handler = self
        is_post = self.request.method == "POST"
        given = forms.of_request(
            self.request.body_arguments if is_post else self.request.query_arguments
        )
        if is_post or given:
            problems = forms.problems_of(spawner, given)
            if problems and self.get_status() == 200:
                self.set_status(400)
            asked = forms.Asked(
                given=given,
                shown=self._shown or {},
                message="" if problems else message or (self._shown or {}).get("failure", ""),
                is_checked=True,
            )
            spawner_options_form = await forms.render(spawner, asked)
        texts: Texts = spawner.office.texts
        title = texts("form.title_named", name=name) if name else texts("form.title")
        kept = {
            key: self.get_query_argument(key)
            for key in ("next", "display_name")
            if self.get_query_argument(key, "")
        }
        page: str = await self.render_template(
            "spawn.html",
            for_user=for_user,
            auth_state=await for_user.get_auth_state(),
            spawner_options_form=spawner_options_form,
            spawner=spawner,
            url=url_concat(self.request.path, kept),
            pangeo_title=title,
            pangeo_for_user=texts("form.for_user", user=for_user.name),
            pangeo_language=texts(LANGUAGE),
        )
        return page


# In the place of JupyterHub's: handlers of a configuration come after its own.
default_handlers[:] = [
    (path, SpawnPage if handler is SpawnHandler else handler, *rest)
    for path, handler, *rest in default_handlers
]


class FormHandler(APIHandler):
    """Answers the page's script: ``{"show": "preview" or "soonest", "choices": {…}}``."""

    @needs_scope("servers")  # type: ignore[untyped-decorator]
    async def post(self, user_name: str, server_name: str = "") -> None:
        """Tell what would be submitted, or what starts soonest. 429 for too many questions."""
        if len(self.request.body) > _LARGEST:
            raise web.HTTPError(413, "too long")
        body = self.get_json_body()
        what = body.get("show") if isinstance(body, dict) else None
        choices = body.get("choices") if isinstance(body, dict) else None
        if what not in ("preview", "soonest") or not isinstance(choices, dict):
            raise web.HTTPError(400, "show and choices are wanted")
        user = self.find_user(user_name)
        if user is None:
            raise web.HTTPError(404)
        spawner = user.spawners.get(server_name) or user.spawner
        found = await told(spawner, choices, what)
        if found.get("busy"):
            self.set_status(429)
        self.write(found)


def handlers() -> list[tuple[Any, ...]]:
    """Return what the form's page needs beside JupyterHub's own handlers."""
    return [*((path, FormHandler) for path in PATHS), STATIC]


async def told(spawner: Any, given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return what the hub finds out about choices, in words.

    Keys: `estimate`, `script`, `offers` (only if asked for: `text`, `choices`, `link`), `problems`
    (`field`, `text`), and `failure` and `busy` where there is no answer.
    """
    texts: Texts = spawner.office.texts
    found: dict[str, Any] = {"estimate": "", "script": "", "problems": []}
    if what == "soonest":
        found["offers"] = []
    try:
        asked = read(spawner.options_from_form(given))
        if what == "soonest":
            offers = await spawner.office.estimates.soonest(spawner.user.name, asked)
            found["offers"] = [_offer(spawner, offer, texts) for offer in offers]
        else:
            seen = await spawner.office.estimates.preview(spawner.user.name, asked)
            found |= {"script": seen.script, "estimate": estimate(seen, texts)}
    except (forms.Refused, RequestRefused) as error:
        found["problems"] = [
            {"field": name, "text": text}
            for name, lines in beside(error.problems, texts).items()
            for text in lines
        ]
        found["estimate"] = " ".join(
            each["text"] for each in found["problems"] if not each["field"]
        )
    except Busy:
        found |= {"estimate": texts("form.busy"), "busy": True}
    except PangeoHpcError as error:
        said = texts("form.scheduler_says", words=error.text)
        found |= {"estimate": said, "failure": said}
    return found


def estimate(seen: Preview, texts: Texts) -> str:
    """Return one sentence about when a job would start."""
    if seen.start is None:
        if seen.said:
            return texts("form.scheduler_says", words=seen.said)
        return texts("form.guess_later" if seen.is_guess else "form.no_estimate")
    if seen.is_guess:
        return texts("form.guess_now")
    left = until(seen.start, datetime.now(UTC))
    return texts("form.starts_in", time=texts.duration(left)) if left else texts("form.starts_now")


def _offer(spawner: Any, offer: Offer, texts: Texts) -> dict[str, Any]:
    left = until(offer.start, datetime.now(UTC))
    if left:
        start = texts("form.offer_later", time=texts.duration(left))
    else:
        start = texts("form.offer_guess" if offer.is_guess else "form.offer_now")
    time = texts.duration(offer.walltime)
    text = texts("form.offer", time=time, node_type=offer.node_type, start=start)
    plain = offer.choices.plain()
    return {"text": text, "choices": plain, "link": forms.link(spawner, plain)}
