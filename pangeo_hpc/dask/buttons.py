"""A cluster's face with buttons, where ipywidgets is installed: scale and adapt by hand."""

import asyncio
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets

from pangeo_hpc.errors import PangeoHpcError

# Seconds between two looks at what is known.
_EVERY = 1.0


class Buttons:
    """What is known of a cluster, as it changes, and what to press; `box` is the widget."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.status = ipywidgets.HTML(cluster._repr_html_())
        self.said = ipywidgets.HTML()
        self.workers = _number("Workers")
        self.minimum, self.maximum = _number("Minimum"), _number("Maximum")
        self.scale, self.adapt = _button("Scale", self._scale), _button("Adapt", self._adapt)
        by_hand = ipywidgets.HBox([self.workers, self.scale])
        by_itself = ipywidgets.HBox([self.minimum, self.maximum, self.adapt])
        choice = ipywidgets.Accordion([by_hand, by_itself], selected_index=None)
        choice.set_title(0, "Scale by hand")
        choice.set_title(1, "Adapt to the work")
        parts = [self.status, choice, self.said] if cluster.may_scale else [self.status]
        self.box = ipywidgets.VBox(parts)
        self._following: asyncio.Future[None] | None = None
        cluster.loop.add_callback(self._begin)

    def update(self) -> None:
        """Show what is known by now."""
        text = self.cluster._repr_html_()
        if text != self.status.value:
            self.status.value = text

    def _begin(self) -> None:
        self._following = asyncio.ensure_future(self._follow())
        # Dask stops what is in here when a cluster closes
        self.cluster.periodic_callbacks["pangeo-hpc-buttons"] = self

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            self.update()

    def stop(self) -> None:
        """Show what is known at the end, and follow no more."""
        if self._following is not None:
            self._following.cancel()
        self.update()

    def _scale(self, _: Any) -> None:
        self._try(lambda: self.cluster.scale(self.workers.value))

    def _adapt(self, _: Any) -> None:
        low, high = self.minimum.value, self.maximum.value
        self._try(lambda: self.cluster.adapt(minimum=low, maximum=high))

    def _try(self, action: Callable[[], object]) -> None:
        """Do something, and show what is wrong with it: an exception here reaches nobody."""
        self.said.value = ""
        self.scale.disabled = self.adapt.disabled = True
        try:
            action()
        except PangeoHpcError as error:
            self.said.value = f"<pre>{escape(str(error))}</pre>"
        finally:
            self.scale.disabled = self.adapt.disabled = False
        self.update()


def _number(title: str) -> Any:
    width = ipywidgets.Layout(width="150px")
    return ipywidgets.BoundedIntText(0, min=0, max=1_000_000, description=title, layout=width)


def _button(title: str, press: Callable[[Any], None]) -> Any:
    made = ipywidgets.Button(description=title)
    made.on_click(press)
    return made
