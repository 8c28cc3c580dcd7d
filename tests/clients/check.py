"""Drives the simulator with client libraries that know nothing of it: check.py URL TENANT CLIENT SECRET

What they believe Dataverse to be, it has to be.
"""

import os
import sys
import time
import uuid
from urllib.parse import urlsplit

import requests
from azure.core.credentials import AccessToken
from dataverse_api.dataverse import DataverseClient
from PowerPlatform.Dataverse.client import DataverseClient as MicrosoftClient
from PowerPlatform.Dataverse.core.errors import HttpError, MetadataError

from tls import Terminator

OWNER = "33333333-3333-3333-3333-333333333333"
QUEUE = "44444444-4444-4444-4444-444444444444"


def token(url, tenant, client, secret):
    """A token, asked for as Entra ID's documentation says."""
    form = {
        "grant_type": "client_credentials",
        "client_id": client,
        "client_secret": secret,
        "scope": f"{url}/.default",
    }
    answer = requests.post(f"{url}/{tenant}/oauth2/v2.0/token", data=form, timeout=10)
    answer.raise_for_status()
    return answer.json()


class Credential:
    """What azure.identity.ClientSecretCredential would be, for an authority that is not Microsoft's."""

    def __init__(self, *account):
        self.account = account

    def get_token(self, *scopes, **_):
        assert scopes == (f"{self.account[0]}/.default",), scopes
        given = token(*self.account)
        return AccessToken(given["access_token"], int(time.time()) + given["expires_in"])


def community(url, session):
    """dataverse-api: reads each table's metadata first, then works with rows."""
    client = DataverseClient(session=session, environment_url=url)
    contacts = client.entity("contact")
    assert contacts.entity_set_name == "contacts", contacts.entity_set_name
    assert contacts.primary_id_attr == "contactid", contacts.primary_id_attr
    assert "parentcustomerid_account" in contacts.relationships.single_valued

    key = str(uuid.uuid4())
    ann = {"contactid": key, "firstname": "Ann", "lastname": "O'Brien", "emailaddress1": "ann.o'brien+vip@example.com"}
    (created,) = contacts.create([ann], return_created=True)
    assert created.status_code == 201 and created.json()["fullname"] == "Ann O'Brien", created.text
    (again,) = contacts.create([ann])
    assert again.status_code == 412, again.text

    found = contacts.read(
        select=["contactid", "emailaddress1"],
        filter="emailaddress1 eq 'ANN.O''BRIEN+VIP@example.com'",
        order_by="createdon asc",
        top=1,
    )
    assert [row["contactid"] for row in found] == [key], found
    assert set(found[0]) == {"@odata.etag", "contactid", "emailaddress1"}, found

    contacts.create([{"lastname": f"Page {number}"} for number in range(5)])
    pages = contacts.read(select=["lastname"], filter="startswith(lastname,'page')", order_by="lastname desc", page_size=2)
    assert [row["lastname"][-1] for row in pages] == ["4", "3", "2", "1", "0"], pages

    incidents = client.entity("incident")
    case = {
        "title": "Billing - Ann O'Brien",
        "prioritycode": 2,
        "customerid_contact@odata.bind": f"/contacts({key})",
        "ownerid@odata.bind": f"/systemusers({OWNER})",
        "queueid@odata.bind": f"/queues({QUEUE})",
    }
    (opened,) = incidents.create([case], return_created=True)
    assert opened.json()["_customerid_value"] == key, opened.text
    assert opened.json()["ticketnumber"].startswith("CAS-"), opened.text
    (refused,) = incidents.create([{"title": "x" * 201}])
    assert refused.status_code == 400 and refused.json()["error"]["code"] == "0x80044331", refused.text

    incidents.delete(ids=[opened.json()["incidentid"]])
    contacts.delete(filter="all")
    assert contacts.read() == [] and incidents.read() == []


def microsoft(url, *account):
    """PowerPlatform-Dataverse-Client: takes logical names, resolves sets and choices by metadata."""
    client = MicrosoftClient(url, Credential(url, *account))
    ann = client.records.create("contact", {"firstname": "Ann", "emailaddress1": "ann@example.com"})
    case = client.records.create(
        "incident",
        {"title": "Hello", "prioritycode": "High", "customerid_contact@odata.bind": f"/contacts({ann})"},
    )
    read = client.records.retrieve("incident", case, select=["title", "prioritycode", "_customerid_value"])
    assert (read["title"], read["prioritycode"], read["_customerid_value"]) == ("Hello", 1, ann), read

    client.records.update("incident", case, {"statecode": 1, "statuscode": 5})
    rows = client.records.list("incident", filter="statecode eq 1 and contains(title,'ELL')", select=["statuscode"], top=1)
    assert [row["statuscode"] for row in rows] == [5], rows

    try:
        client.records.update("incident", str(uuid.uuid4()), {"title": "nobody"})
        raise AssertionError("an update created a row")
    except HttpError as error:
        assert error.status_code == 404, error
        assert error.details["service_error_code"] == "0x80040217", error.details
    try:
        client.records.create("nosuchtable", {"name": "x"})
        raise AssertionError("a table that is not there took a row")
    except MetadataError:
        pass

    client.records.delete("incident", case)
    client.records.delete("contact", ann)
    assert client.records.retrieve("contact", ann) is None


def main(url, *account):
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token(url, *account)['access_token']}"
    community(url, session)

    # Microsoft's client talks TLS only, and rightly so.
    behind = urlsplit(url)
    with Terminator(behind.hostname, behind.port) as front:
        os.environ["REQUESTS_CA_BUNDLE"] = front.certificate
        requests.post(f"{url}/_simulator/settings", json={"url": front.url}, timeout=10).raise_for_status()
        microsoft(front.url, *account)
    print("both clients passed")


main(*sys.argv[1:])
