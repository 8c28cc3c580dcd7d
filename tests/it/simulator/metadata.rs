use handoffd::dynamics::simulator::Profile;
use serde_json::json;

use super::client::Client;

#[tokio::test]
async fn limits_can_be_read() {
    let client = Client::start(Profile::OpenCx).await;
    client.configure(&json!({"description_limit": 12_345}));
    let attributes = "EntityDefinitions(LogicalName='incident')/Attributes";
    let memo = "Microsoft.Dynamics.CRM.MemoAttributeMetadata?$select=MaxLength";
    let reply = client.get(&format!("{attributes}(LogicalName='description')/{memo}")).await;
    assert_eq!((reply.status, &reply.body["MaxLength"]), (200, &json!(12_345)));
    let reply = client.get(&format!("{attributes}(LogicalName='title')/{memo}")).await;
    assert_eq!(reply.status, 404, "a title is no memo");
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
