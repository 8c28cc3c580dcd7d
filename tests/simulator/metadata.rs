use dynamics_simulator::Profile;
use serde_json::json;

use crate::client::Client;

#[tokio::test]
async fn limits_can_be_read() {
    let client = Client::start(Profile::OpenCx).await;
    client.configure(&json!({"description_limit": 12_345}));
    let attributes = "EntityDefinitions(LogicalName='incident')/Attributes";
    let memo = "Microsoft.Dynamics.CRM.MemoAttributeMetadata?$select=MaxLength";
    let reply = client.get(&format!("{attributes}(LogicalName='description')/{memo}")).await;
    assert_eq!((reply.status, &reply.body["MaxLength"]), (200, &json!(12_345)));
    let reply = client.get(&format!("{attributes}(LogicalName='title')/{memo}")).await;
    assert_eq!(reply.status, 404, "a title is not a memo");
    assert_eq!(client.get(&format!("{attributes}(LogicalName='nothing')")).await.status, 404);
    let picklists = "Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet";
    let reply = client.get(&format!("{attributes}/{picklists}")).await;
    assert!(reply.column("LogicalName").contains(&"prioritycode"), "{reply:?}");
}

#[tokio::test]
async fn tables_can_be_found() {
    let client = Client::start(Profile::OpenCx).await;
    let reply = client.get("EntityDefinitions?$select=EntitySetName&$filter=LogicalName eq 'incident'").await;
    assert_eq!(reply.column("EntitySetName"), ["incidents"]);
    let id = reply.body["value"][0]["MetadataId"].as_str().expect("an id");
    assert_eq!(client.get(&format!("EntityDefinitions({id})")).await.body["LogicalName"], "incident");
    assert_eq!(client.get("EntityDefinitions(LogicalName='nothing')").await.status, 404);
    let links = client.get("EntityDefinitions(LogicalName='annotation')/ManyToOneRelationships").await;
    assert!(links.column("ReferencingEntityNavigationPropertyName").contains(&"objectid_incident"));
    let document = client.get("$metadata").await.body;
    assert!(document.as_str().is_some_and(|xml| xml.contains("<EntitySet Name=\"incidents\"")), "{document:?}");
}

#[tokio::test]
async fn secured_columns_and_the_rights_to_them_can_be_read() {
    let client = Client::start(Profile::OpenCx).await;
    let secured = "EntityDefinitions(LogicalName='contact')/Attributes?$select=LogicalName&$filter=IsSecured eq true";
    assert!(client.get(secured).await.column("LogicalName").is_empty());
    client.configure(&json!({"secured_columns": {
        "contacts.emailaddress1": "refused", "contacts.mobilephone": "hidden", "contacts.lastname": "granted",
    }}));
    let reply = client.get(secured).await;
    assert_eq!(reply.column("LogicalName"), ["lastname", "mobilephone", "emailaddress1"]);
    let id = |at: usize| reply.body["value"][at]["MetadataId"].clone();
    let me = client.get("WhoAmI").await.body["UserId"].as_str().expect("a user").to_owned();
    let function = "Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivileges()";
    let rights = client.get(&format!("systemusers({me})/{function}")).await.body["AttributePrivileges"].clone();
    let expected = [(id(0), 4, 4), (id(1), 0, 4)]
        .map(|(id, read, write)| json!({"AttributeId": id, "CanRead": read, "CanCreate": write, "CanUpdate": write}));
    assert_eq!(rights, json!(expected));
    let created = client.post("contacts", json!({"lastname": "Bo"})).await;
    assert_eq!(created.status, 204, "granted columns are writable");
    let filter = "EntityDefinitions(LogicalName='contact')/Attributes?$filter=LogicalName eq 'fax'";
    assert_eq!(client.get(filter).await.status, 501, "refused, never ignored");
}

#[tokio::test]
async fn blocked_attachments_can_be_read() {
    let client = Client::start(Profile::OpenCx).await;
    let path = "organizations?$select=blockedattachments";
    let listed = async || client.get(path).await.body["value"][0]["blockedattachments"].as_str().unwrap().to_owned();
    assert_eq!(listed().await, "");
    client.configure(&json!({"blocked_attachments": ["exe", "txt"]}));
    assert_eq!(listed().await, "exe;txt");
    client.configure(&json!({"blocked_attachments": ["*"]}));
    assert!(listed().await.split(';').any(|extension| extension == "txt"));
    assert_eq!(client.get(path).await.body["value"].as_array().map(Vec::len), Some(1));
    assert_eq!(client.post("organizations", json!({"name": "x"})).await.status, 405);
}
