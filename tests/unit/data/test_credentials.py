"""Credentials are looked at before they are used, and are never told."""

import os

import pytest

import pangeo_hpc
from pangeo_hpc.data import credentials
from pangeo_hpc.data.settings import settings_of
from pangeo_hpc.errors import CredentialsRefused, Exit, UsageError
from pangeo_hpc.site import Person, current_person
from tests.unit.data.conftest import stores
from tests.unit.data.s3_server import Keys

KEYS = Keys("AKIAEXAMPLE", "hunter2")
URL = "http://127.0.0.1:9"


@pytest.fixture
def path(make_site, write_credentials):
    """A file that is as it should be, for the store of the site."""
    make_site(stores(URL))
    return write_credentials(alpha=KEYS, other=KEYS)


def refused(match: str) -> CredentialsRefused:
    with pytest.raises(CredentialsRefused, match=match) as caught:
        pangeo_hpc.object_store("archive")
    assert caught.value.exit_code == Exit.NOT_ALLOWED
    assert "hunter2" not in str(caught.value)
    assert caught.value.hint
    return caught.value


def test_a_private_file_is_used(path):
    """Nothing is asked of the store before something is read."""
    assert pangeo_hpc.object_store("archive").store.credentials == str(path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o606])
def test_a_file_that_others_can_read(path, mode):
    """The next step is the command."""
    path.chmod(mode)
    error = refused(rf"others can read it \(mode {mode:04o}\)")
    assert error.hint == f"chmod 600 {path}"


def test_a_link_is_followed(path, tmp_path):
    """People keep such files elsewhere; what counts is the file itself."""
    target = path.rename(tmp_path / "keys")
    path.symlink_to(target)
    pangeo_hpc.object_store("archive")
    target.chmod(0o644)
    refused("others can read it")


def test_no_file(path):
    """The file is named, as the user has it."""
    path.unlink()
    assert str(path) in refused("cannot be read: No such file").text


def test_no_such_section(path):
    """Those there are listed."""
    path.write_text(path.read_text().replace("[alpha]", "[alfa]"))
    error = refused(r"has no section \[alpha\]")
    assert error.hint == "it has alfa, other; name one of them as profile"


def test_half_a_section(path):
    """What is missing is told."""
    path.write_text("[alpha]\naws_access_key_id = A\n")
    refused(r"section \[alpha\] of .* has no aws_secret_access_key")


def test_a_section_that_names_a_program(path):
    """botocore gets credentials in other ways, too."""
    path.write_text("[alpha]\ncredential_process = /bin/true\n")
    pangeo_hpc.object_store("archive")


def test_a_file_of_another_kind(path):
    """The parser's own words hold the line, and are not told."""
    import traceback

    path.write_text("hunter2\n")
    error = refused("is not written as a credentials file is")
    assert "hunter2" not in "".join(traceback.format_exception(error))


def test_a_file_of_somebody_else(path, monkeypatch):
    """Somebody else could change what a job writes, and where."""
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1000)
    if path.stat().st_uid == 0:
        monkeypatch.setattr(os, "access", lambda *_: True)
        # a site may give its users one file, which root keeps
        path.chmod(0o640)
        pangeo_hpc.object_store("archive")
        path.chmod(0o644)
        refused("others can read it")
    else:
        refused("neither to you nor to root")


def test_the_usual_file_is_looked_at_too(path, make_site):
    """A store that names no file takes ~/.aws/credentials, which is to be private then."""
    make_site(f"object_stores: {{archive: {{protocol: s3, bucket: a, endpoint_url: {URL}}}}}")
    pangeo_hpc.object_store("archive")
    path.chmod(0o644)
    refused("others can read it")


def test_placeholders(make_site):
    """Each user has a folder in the bucket, and perhaps a file elsewhere."""
    site = make_site(
        'object_stores: {mine: {protocol: s3, bucket: "users/{user}", credentials: "/keys/{user}", '
        "region: here, timeout: 5 seconds}}"
    )
    person = Person("alice", 1, 1, "climate", current_person().home)
    store = settings_of(site, "mine", person)
    assert (store.root, store.credentials, store.profile) == ("users/alice", "/keys/alice", None)
    assert (store.bucket, store.region, store.timeout) == ("users", "here", 5.0)
    assert credentials.section(store) == "default"


def test_a_placeholder_without_a_value(make_site):
    """The key is named."""
    make_site('object_stores: {mine: {protocol: s3, bucket: "{project}"}}')
    with pytest.raises(UsageError, match=r"object_stores.mine.bucket: {project} has no value"):
        pangeo_hpc.object_store("mine")


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("s3://alpha-archive", ""),
        ("s3://alpha-archive/", ""),
        ("s3a://alpha-archive/a/b.zarr/", "a/b.zarr"),
        ("s3://alpha-archive-2/a", None),
        ("gs://alpha-archive/a", None),
        ("/alpha-archive/a", None),
    ],
)
def test_what_lies_in_a_store(make_site, url, key):
    """The bucket is compared whole."""
    store = settings_of(make_site(stores(URL)), "archive", current_person())
    assert store.holds(url) == key


def test_a_package_that_is_not_installed(make_site):
    """The hint is the command."""
    from pangeo_hpc.data.stores import missing

    error = missing(ModuleNotFoundError("no", name="s3fs.core"), "a store of protocol s3")
    assert error.hint == "pip install 'pangeo-hpc[data]' in this environment"
    make_site("object_stores: {lake: {protocol: abfs, bucket: a}}")
    with pytest.raises(UsageError, match=r"abfs needs .*: adlfs\nhint: pip install adlfs"):
        pangeo_hpc.object_store("lake")
