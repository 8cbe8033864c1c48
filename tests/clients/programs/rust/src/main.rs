// What azure_identity and azure_security_keyvault_secrets do: tokens from a secret and a federated assertion, and the life of a secret.
//
// Told by environment variables; prints each way that has worked, on a line of its own.

use std::{collections::HashMap, env, error::Error, fs, sync::Arc};

use azure_core::credentials::{Secret, TokenCredential};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientSecretCredential, WorkloadIdentityCredential,
};
use azure_security_keyvault_secrets::{
    models::{
        RestoreSecretParameters, SecretClientGetSecretOptions, SetSecretParameters,
        UpdateSecretPropertiesParameters,
    },
    ResourceExt, SecretClient, SecretClientOptions,
};
use futures::TryStreamExt;

type Done<T> = Result<T, Box<dyn Error>>;

const SCOPE: &str = "https://api.loganalytics.io/.default";

#[derive(Debug)]
struct FromFile(String);

#[async_trait::async_trait]
impl ClientAssertion for FromFile {
    async fn secret(
        &self,
        _: Option<azure_core::http::ClientMethodOptions<'_>>,
    ) -> azure_core::Result<String> {
        Ok(fs::read_to_string(&self.0)?)
    }
}

async fn tokens() -> Done<Arc<dyn TokenCredential>> {
    let (tenant, client) = (env::var("AZURE_TENANT_ID")?, env::var("AZURE_CLIENT_ID")?);
    let secret = ClientSecretCredential::new(
        &tenant,
        client.clone(),
        Secret::new(env::var("SECRET")?),
        None,
    )?;
    let file = FromFile(env::var("AZURE_FEDERATED_TOKEN_FILE")?);
    let ways: Vec<(&str, Arc<dyn TokenCredential>)> = vec![
        ("ClientSecretCredential", secret.clone()),
        (
            "ClientAssertionCredential",
            ClientAssertionCredential::new(tenant, client, file, None)?,
        ),
        (
            "WorkloadIdentityCredential",
            WorkloadIdentityCredential::new(None)?,
        ),
    ];
    for (name, credential) in ways {
        let token = credential.get_token(&[SCOPE], None).await?;
        assert_eq!(token.token.secret().split('.').count(), 3);
        println!("azure_identity for Rust\t{name}");
    }
    Ok(secret)
}

fn worked(name: &str) {
    println!("azure_security_keyvault_secrets for Rust\tSecretClient.{name}");
}

async fn secrets(credential: Arc<dyn TokenCredential>) -> Done<()> {
    let options = SecretClientOptions {
        verify_challenge_resource: Some(false), // where names below *.localhost do not resolve
        ..Default::default()
    };
    let client = SecretClient::new(&env::var("VAULT_URL")?, credential, Some(options))?;
    let value = SetSecretParameters {
        value: Some("one".into()),
        ..Default::default()
    };
    let made = client
        .set_secret("db", value.try_into()?, None)
        .await?
        .into_model()?;
    let first = made.resource_id()?;
    assert_eq!(
        (made.value.as_deref(), first.name.as_str()),
        (Some("one"), "db")
    );
    worked("set_secret");

    let value = SetSecretParameters {
        value: Some("two".into()),
        ..Default::default()
    };
    client.set_secret("db", value.try_into()?, None).await?;
    let held = client.get_secret("db", None).await?.into_model()?;
    assert_eq!(held.value.as_deref(), Some("two"));
    let options = SecretClientGetSecretOptions {
        secret_version: first.version.clone(),
        ..Default::default()
    };
    let held = client.get_secret("db", Some(options)).await?.into_model()?;
    assert_eq!(held.value.as_deref(), Some("one"));
    worked("get_secret");

    let change = UpdateSecretPropertiesParameters {
        content_type: Some("text/plain".into()),
        tags: Some(HashMap::from([("team".into(), "logs".into())])),
        ..Default::default()
    };
    let changed = client
        .update_secret_properties("db", change.try_into()?, None)
        .await?
        .into_model()?;
    assert_eq!(changed.content_type.as_deref(), Some("text/plain"));
    worked("update_secret_properties");

    let mut names = Vec::new();
    let mut pager = client.list_secret_properties(None)?;
    while let Some(one) = pager.try_next().await? {
        names.push(one.resource_id()?.name);
    }
    assert_eq!(names, ["db"]);
    worked("list_secret_properties");

    let mut versions = client.list_secret_properties_versions("db", None)?;
    let mut count = 0;
    while versions.try_next().await?.is_some() {
        count += 1;
    }
    assert_eq!(count, 2);
    worked("list_secret_properties_versions");

    client.delete_secret("db", None).await?;
    worked("delete_secret");
    let error = client.get_secret("db", None).await.unwrap_err();
    assert_eq!(
        error.http_status(),
        Some(azure_core::http::StatusCode::NotFound)
    );
    worked("get_secret, 404");
    let gone = client.get_deleted_secret("db", None).await?.into_model()?;
    assert_eq!(gone.resource_id()?.name, "db");
    worked("get_deleted_secret");
    client.recover_deleted_secret("db", None).await?;
    assert!(client.get_secret("db", None).await.is_ok());
    worked("recover_deleted_secret");
    let backup = client.backup_secret("db", None).await?.into_model()?;
    client.delete_secret("db", None).await?;
    client.purge_deleted_secret("db", None).await?;
    worked("purge_deleted_secret");
    let saved = RestoreSecretParameters {
        secret_backup: backup.value,
    };
    client.restore_secret(saved.try_into()?, None).await?;
    let held = client.get_secret("db", None).await?.into_model()?;
    assert_eq!(held.value.as_deref(), Some("two"));
    worked("backup_secret");
    worked("restore_secret");
    Ok(())
}

#[tokio::main]
async fn main() -> Done<()> {
    secrets(tokens().await?).await
}
