import json

from jupyterlab_server.config import get_federated_extensions, get_static_page_config

from pangeo_hpc.server.pages import JUPYTER, offer_to_lab

NAME = "@pangeo-hpc/time-left"


def test_jupyterlab_takes_it_for_a_prebuilt_extension():
    """JupyterLab's own reader finds the name and the script to load, and the script is there."""
    folder = JUPYTER / "labextensions"
    found = get_federated_extensions([str(folder)])
    assert list(found) == [NAME]
    load = found[NAME]["jupyterlab"]["_build"]["load"]
    script = (folder / NAME / load).read_text()
    # the name under which JupyterLab looks for the container
    assert json.dumps(NAME) in script
    page = get_static_page_config(level="system")
    assert NAME not in page.get("disabledExtensions", {})


def test_a_users_own_path_comes_first(monkeypatch):
    """What the site or the user has in JUPYTER_PATH stays."""
    monkeypatch.setenv("JUPYTER_PATH", "/opt/share/jupyter")
    offer_to_lab()
    import os

    assert os.environ["JUPYTER_PATH"] == f"/opt/share/jupyter:{JUPYTER}"
    monkeypatch.delenv("JUPYTER_PATH")
    offer_to_lab()
    assert os.environ["JUPYTER_PATH"] == str(JUPYTER)
