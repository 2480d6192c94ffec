import json
import os
from importlib import import_module

import pytest
from jupyter_server.services.config.manager import ConfigManager
from jupyterlab_server.config import get_federated_extensions, get_static_page_config

from pangeo_hpc.errors import UsageError
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


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give back the environment."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.mark.parametrize("variable", ["JUPYTER_PATH", "JUPYTER_CONFIG_PATH"])
def test_a_users_own_path_comes_first(variable):
    """What the site or the user has told Jupyter stays."""
    os.environ[variable] = "/opt/share/jupyter"
    offer_to_lab()
    assert os.environ[variable] == f"/opt/share/jupyter:{JUPYTER}"
    del os.environ[variable]
    offer_to_lab()
    assert os.environ[variable] == str(JUPYTER)


def test_clusters_are_no_matter_of_dasks_panel(monkeypatch):
    """JupyterLab's own reader hides its list of clusters; what is left of it says what to do."""
    plugin = "dask-labextension:plugin"
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(JUPYTER))
    found = ConfigManager(config_dir_name="labconfig").get("default_setting_overrides")
    assert found[plugin]["hideClusterManager"] is True
    offer_to_lab()
    told = {key: os.environ[f"DASK_LABEXTENSION__FACTORY__{key}"] for key in ("MODULE", "CLASS")}
    start = getattr(import_module(told["MODULE"]), told["CLASS"])
    with pytest.raises(UsageError, match="pangeo_hpc.start_cluster"):
        start(asynchronous=True)


def test_a_site_may_have_its_own_clusters_there():
    """Where an administrator says how the panel starts clusters, that counts."""
    os.environ["DASK_LABEXTENSION__FACTORY__MODULE"] = "centre.dask"
    offer_to_lab()
    assert os.environ["DASK_LABEXTENSION__FACTORY__MODULE"] == "centre.dask"
    assert "DASK_LABEXTENSION__FACTORY__CLASS" not in os.environ
