"""The site as JupyterHub's settings, applied without any hub."""

import json

import pytest
from traitlets.config import Config

from pangeo_hpc.errors import SiteError
from pangeo_hpc.hub import operators
from pangeo_hpc.hub.settings import Places, apply, configure, settings
from pangeo_hpc.site import load_site
from pangeo_hpc.testing.sites import small_site_yaml
from tests.unit.hub.conftest import write_site


@pytest.fixture
def places(tmp_path):
    state = tmp_path / "hub"
    state.mkdir(mode=0o700)
    return Places(site_file=tmp_path / "site.yaml", state=state)


def configured(tmp_path, profiles="[batch]", extra=""):
    state = tmp_path / "hub"
    state.mkdir(mode=0o700, exist_ok=True)
    config = Config()
    configure(config, write_site(tmp_path, profiles, extra), state=state)
    return config


def test_an_empty_configuration_becomes_a_hub(tmp_path):
    """Everything that keeps servers alive, and nobody's secrets in their jobs."""
    config = configured(tmp_path)
    hub = config.JupyterHub
    assert hub.spawner_class == "pangeo_hpc.hub.spawner.SiteSpawner"
    assert hub.authenticator_class == "pam"
    assert hub.cleanup_servers is False
    assert hub.init_spawners_timeout == 1
    assert hub.concurrent_spawn_limit == 0
    assert hub.hub_connect_url == "http://10.0.0.5:8081"
    assert hub.bind_url == "http://127.0.0.1:8000/hpc/"
    assert config.SiteSpawner.env_keep == []
    assert config.SiteSpawner.poll_interval == 15
    assert config.SiteSpawner.program == ["/opt/pangeo-hpc/bin/pangeo-hpc-hub-job"]
    assert config.PAMAuthenticator.allowed_groups == {"climate"}
    assert config.PAMAuthenticator.admin_groups == {"wheel"}
    assert config.Authenticator.allow_all is False
    assert "SiteProfilesSpawner" not in config


@pytest.mark.parametrize("profiles", ["[login, batch]", "[login]", "[batch, login]"])
def test_several_profiles_are_wrapped(tmp_path, profiles):
    """The wrapper and what it wraps have the same settings."""
    config = configured(tmp_path, profiles)
    assert config.JupyterHub.spawner_class == "pangeo_hpc.hub.profiles.SiteProfilesSpawner"
    assert dict(config.SiteProfilesSpawner) == dict(config.SiteSpawner)


def test_it_can_be_done_again_over_what_is_there(tmp_path):
    """Once more changes nothing; other services, roles and settings stay."""
    state = tmp_path / "hub"
    state.mkdir(mode=0o700)
    site = write_site(tmp_path)
    config = Config()
    config.JupyterHub.services = [{"name": "cull", "command": ["cull"]}]
    config.JupyterHub.load_roles.append({"name": "cull", "scopes": ["list:users"]})
    config.Spawner.default_url = "/lab"
    configure(config, site, state=state)
    first = json.dumps(config, default=str, sort_keys=True)
    configure(config, site, state=state)
    assert json.dumps(config, default=str, sort_keys=True) == first
    assert [each["name"] for each in config.JupyterHub.services] == ["cull", operators.NAME]
    assert [each["name"] for each in config.JupyterHub.load_roles] == ["cull", operators.NAME]
    assert config.Spawner.default_url == "/lab"


def test_the_operators_token_is_private_and_may_little(tmp_path):
    """One scope, one service, a 0600 file that is made once."""
    config = configured(tmp_path)
    path = tmp_path / "hub" / operators.TOKEN
    assert path.stat().st_mode & 0o777 == 0o600
    (service,) = config.JupyterHub.services
    assert service == {"name": operators.NAME, "api_token": path.read_text()}
    (role,) = config.JupyterHub.load_roles
    assert role["scopes"] == ["admin:server_state"]
    assert configured(tmp_path).JupyterHub.services == [service]


def test_tls_of_its_own(tmp_path, places):
    """With a certificate the hub serves the public port itself, else another server does."""
    text = "  tls: {certificate: /etc/hub.pem, key: /etc/hub.key}\n"
    site = load_site(write_site(tmp_path, extra=text))
    found = settings(site, places)["JupyterHub"]
    assert found["bind_url"] == "https://:443/hpc/"
    assert (found["ssl_cert"], found["ssl_key"]) == ("/etc/hub.pem", "/etc/hub.key")


def test_a_site_without_a_hub(tmp_path, places):
    """It is said at once, with the way on."""
    path = tmp_path / "plain.yaml"
    path.write_text(small_site_yaml())
    with pytest.raises(SiteError) as caught:
        settings(load_site(path), places)
    assert [problem.path for problem in caught.value.problems] == ["hub"]


def test_the_handler_that_sets_any_attribute_is_gone(tmp_path):
    """batchspawner's own port handler is removed; ours takes a port and nothing else."""
    import batchspawner  # noqa: F401
    from jupyterhub.apihandlers import default_handlers

    from pangeo_hpc.hub.handlers import handlers

    assert not [path for path, *_ in default_handlers if "batchspawner" in path]
    served = [path for path, *_ in handlers(tmp_path)]
    assert served[:2] == ["/api/pangeo-hpc/port", "/api/pangeo-hpc/status"]
    assert not [path for path in served if "batchspawner" in path]


def test_every_setting_is_one_of_jupyterhub(tmp_path, places):
    """No class or trait of ours is misspelt: JupyterHub would pass over it in silence."""
    from jupyterhub.app import JupyterHub
    from jupyterhub.auth import Authenticator, PAMAuthenticator
    from jupyterhub.proxy import ConfigurableHTTPProxy

    from pangeo_hpc.hub.profiles import SiteProfilesSpawner
    from pangeo_hpc.hub.spawner import SiteSpawner

    classes = {
        each.__name__: each
        for each in (
            *(JupyterHub, Authenticator, PAMAuthenticator, ConfigurableHTTPProxy),
            *(SiteSpawner, SiteProfilesSpawner),
        )
    }
    config = Config()
    apply(config, settings(load_site(write_site(tmp_path)), places), "pam")
    for section, values in config.items():
        known = classes[section].class_traits()
        assert [name for name in values if name not in known] == [], section


@pytest.mark.parametrize(
    ("groups", "found", "expected"),
    [
        (["climate"], {"admin": None}, {"admin": False}),
        (["climate"], {"admin": True}, {"admin": True}),
        (["climate", "wheel"], {"admin": None}, {"admin": True}),
        (["wheel"], {"admin": False}, {"admin": True}),
        (["others"], {"admin": True}, None),
        ([], {"admin": None}, None),
    ],
)
def test_unix_groups_decide_with_every_authenticator(
    tmp_path, monkeypatch, groups, found, expected
):
    """It says who somebody is; whether they are let in, and administer, the site's groups say."""
    from pangeo_hpc.hub import people

    mine = set(groups)
    monkeypatch.setattr(people, "is_member", lambda person, names: bool(mine & set(names)))
    config = configured(
        tmp_path, extra="  authenticator: oauthenticator.github.GitHubOAuthenticator\n"
    )
    assert config.JupyterHub.authenticator_class == "oauthenticator.github.GitHubOAuthenticator"
    assert config.Authenticator.allow_all is True
    assert "PAMAuthenticator" not in config
    hook = config.Authenticator.post_auth_hook
    told = {"name": "root", "auth_state": None, **found}
    assert hook(None, None, told) == (expected and {**told, **expected})
    assert hook(None, None, {**told, "name": "nobody-of-this-name"}) is None
