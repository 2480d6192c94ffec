"""A cluster in a notebook: what it shows, its buttons, and a real kernel."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from pangeo_hpc import start_cluster
from pangeo_hpc.dask.cluster import WorkerCluster
from pangeo_hpc.dask.table import WorkerJobStatus
from pangeo_hpc.errors import SubmitRefused
from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.site import Site
from tests.unit.dask.conftest import load, outside_jobs


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerCluster]:
    """Return a cluster without workers, which tests leave so."""
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        outside_jobs(patch, folder)
        with start_cluster(site=load(folder, "local"), workers=0, name="mine") as started:
            yield started


def row(number: int, state: JobState, reason: str = "") -> WorkerJobStatus:
    unit = f"unit-{number}"
    return WorkerJobStatus(id=str(number), state=state, reason=reason, worker=unit)


def test_facts(cluster: WorkerCluster) -> None:
    """What the workers are, how many are here, and how their number is chosen."""
    text = cluster._repr_html_()
    assert f"LocalCluster {cluster.name}" in text
    assert "0 of 0, programs of this machine" in text
    assert "by hand" in text
    assert "<details>" not in text
    cluster.adapt(minimum=0, maximum=3)
    assert "adaptive, 0 to 3 workers" in cluster._repr_html_()
    cluster.adapt()
    assert "adaptive, 0 to any number workers" in cluster._repr_html_()
    cluster.scale(0)
    assert "by hand" in cluster._repr_html_()


def test_jobs_and_reasons(cluster: WorkerCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs in a table, those that live first, and in plain words why workers are missing."""
    rows = [row(1, JobState.FAILED), *(row(n, JobState.PENDING, "Priority") for n in range(2, 30))]
    monkeypatch.setattr(cluster, "known_jobs", lambda: rows)
    monkeypatch.setattr(cluster, "states", lambda: {r.worker: r for r in rows})
    monkeypatch.setattr(cluster, "batch_system", "slurm")
    monkeypatch.setattr(cluster, "worker_spec", {"unit-2": {}, "unit-3": {}})
    text = cluster._repr_html_()
    assert "28 of 29 jobs are there" in text
    assert text.count("<tr><td>") == 20
    assert "and 9 more" in text
    assert "<td>1</td><td>unit-1" not in text
    assert (
        "0 of 2 workers are here; 2 jobs wait in the queue: Other jobs of this queue come first."
    ) in text


def test_nothing_of_others_is_markup(
    cluster: WorkerCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words of the batch system are text, whatever is in them."""
    rows = [row(1, JobState.PENDING, "<script>x</script>")]
    monkeypatch.setattr(cluster, "known_jobs", lambda: rows)
    monkeypatch.setattr(cluster, "gave_up", SubmitRefused("<b>no</b>"))
    text = cluster._repr_html_()
    assert "<script>" not in text
    assert "<b>" not in text


def test_without_ipywidgets(cluster: WorkerCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is plain HTML."""
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.delitem(sys.modules, "pangeo_hpc.dask.buttons", raising=False)
    assert cluster._widget() is None


def test_buttons(cluster: WorkerCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """They scale and adapt, and show what is wrong with that."""
    done: list[Any] = []
    monkeypatch.setattr(cluster, "scale", lambda n: done.append(n))
    monkeypatch.setattr(cluster, "adapt", lambda **bounds: done.append(bounds))
    cluster._widget()
    buttons = cluster._buttons
    assert cluster._widget() is buttons.box
    buttons.workers.value = 3
    buttons.scale.click()
    buttons.minimum.value, buttons.maximum.value = 1, 4
    buttons.adapt.click()
    assert done == [3, {"minimum": 1, "maximum": 4}]

    def refuse(n: int) -> None:
        raise SubmitRefused(f"not <{n}>", hint="ask for less")

    monkeypatch.setattr(cluster, "scale", refuse)
    buttons.scale.click()
    assert buttons.said.value == "<pre>not &lt;3&gt;\nhint: ask for less</pre>"
    assert not buttons.scale.disabled


CELLS = """\
import pangeo_hpc
cluster = pangeo_hpc.start_cluster(workers=1, name="shown")
cluster
---
buttons = cluster._buttons
buttons.workers.value = 0
buttons.scale.click()
buttons.maximum.value = 1
buttons.adapt.click()
with cluster.get_client() as client:
    print(client.submit(sum, [1, 2]).result())
---
print(cluster._scaling())
print(cluster.report().json()["total"]["core_hours"]["requested"] > 0)
cluster.close()
"""


def test_in_a_kernel(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a real kernel the last line of a cell is a widget, and its buttons work."""
    path = tmp_path / "site.yaml"
    assert path.exists()
    for name in ("config", "data", "runtime"):
        monkeypatch.setenv(f"JUPYTER_{name.upper()}_DIR", str(tmp_path / name))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PANGEO_HPC_SITE", str(path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    cells = [nbformat.v4.new_code_cell(text) for text in CELLS.split("---\n")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=180, kernel_name="python3").execute()
    first, second, third = (cell.outputs for cell in notebook.cells)
    (shown,) = (o for o in first if o.output_type == "display_data")
    assert "application/vnd.jupyter.widget-view+json" in shown.data
    assert "programs of this machine" in shown.data["text/html"]
    assert shown.data["text/plain"].startswith("shown-")
    assert [o.text for o in second if o.get("name") == "stdout"] == ["3\n"]
    (said,) = (o.text for o in third if o.get("name") == "stdout")
    assert said == "adaptive, 0 to 1 workers\nTrue\n"
    (told,) = (o.text for o in third if o.get("name") == "stderr")
    assert "worker programs had" in told
